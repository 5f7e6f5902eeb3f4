"""The JSON Schema of a job spec, for editors."""

from __future__ import annotations

import json
from functools import cache

from fastapi import APIRouter
from starlette.responses import Response

from gradclinic.contract.schema import spec_schema
from service.openapi import problems

MEDIA_TYPE = "application/schema+json"

router = APIRouter(prefix="/v1/schema", tags=["catalogues"], responses=problems())


@router.get(
    "",
    operation_id="schema_get",
    summary="The JSON Schema of a job spec",
    response_class=Response,
    responses={200: {"description": "JSON Schema (2020-12).", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}},
)
def show_schema() -> Response:
    """Show what `gradclinic schema` prints: editors complete and check specs by it."""
    return Response(_text(), media_type=MEDIA_TYPE, headers={"Cache-Control": "max-age=3600"})


@cache
def _text() -> str:
    return json.dumps(spec_schema(), ensure_ascii=False)
