"""Checking a spec without training it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gradclinic.contract.resolved import ResolvedSpec
from service.answers import answer
from service.openapi import POSTED_SPEC, problems
from service.posted import PostedBody, accept_spec
from service.provided import GivenFiles, GivenLimits

router = APIRouter(prefix="/v1/specs", tags=["specs"])


@router.post(
    "/validate",
    operation_id="specs_validate",
    summary="Check a spec and work out its model",
    response_model=ResolvedSpec,
    responses=problems(408, 413, 415),
    openapi_extra=POSTED_SPEC,
)
def validate_spec(body: PostedBody, limits: GivenLimits, files: GivenFiles) -> Response:
    """Answer with every layer's shapes, parameters and cost, or with every fault. Nothing is stored."""
    return answer(accept_spec(body, limits, files).resolved)
