"""The catalogues: the rules, the fixes and the layers that there are."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gradclinic import diagnosis, fixes
from gradclinic.contract.catalogue import FixInfo, LayerInfo, RuleInfo, layer_catalogue
from gradclinic.contract.job import Page
from service.answers import answer_list
from service.openapi import problems
from service.provided import GivenStore
from store.records import read_records, with_records

router = APIRouter(prefix="/v1", tags=["catalogues"], responses=problems())


@router.get(
    "/rules", operation_id="rules_list", summary="The rules and their thresholds", response_model=Page[RuleInfo]
)
def list_rules() -> Response:
    """List what can be found, and the thresholds that `diagnosis.thresholds` can override."""
    return answer_list(diagnosis.catalogue())


@router.get("/fixes", operation_id="fixes_list", summary="The kinds of fixes", response_model=Page[FixInfo])
def list_fixes(store: GivenStore) -> Response:
    """List what can be recommended, with what was measured of each kind for each finding over all stored jobs."""
    with store.reading() as reader:
        records = read_records(reader)
    return answer_list([with_records(info, records) for info in fixes.catalogue()])


@router.get(
    "/layers", operation_id="layers_list", summary="The layers and their keywords", response_model=Page[LayerInfo]
)
def list_layers() -> Response:
    """List what a model can be made of. References in the schemas lead into `/openapi.json`."""
    return answer_list(layer_catalogue("/openapi.json#/components/schemas/{model}"))
