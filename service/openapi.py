"""The OpenAPI document: a product of its own. Adds to FastAPI's what is parsed by hand here: job specs and problems."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gradclinic.contract.event import EndEvent, FindingEvent, ProgressEvent, StatusEvent
from gradclinic.contract.external import FinishedRun, NewRun
from gradclinic.contract.judgement import Judgement
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.sweep import SweepSpec
from gradclinic.history.packed import MEDIA_TYPE as PACKED
from service.examples import DEEP_SIGMOID, SWEEP
from service.problems import MEDIA_TYPE, Problem

EVENT_MODELS = (StatusEvent, ProgressEvent, FindingEvent, EndEvent)
"""What the stream of a job's events can hold."""

REFERENCE = "#/components/schemas/{model}"

DESCRIPTION = """\
Post the spec of a PyTorch training; a worker trains it and records its gradients; read back a diagnosis with fixes.

A class or keyword that PyTorch has is called what PyTorch calls it. Every error is `application/problem+json`
(RFC 9457), and a 422 names every wrong place by its JSON pointer. Ids are opaque. Fields may be added, none is renamed.
"""

TAGS = [
    {"name": "jobs", "description": "Submitted specs and all that follows from them."},
    {"name": "sweeps", "description": "One spec under many values, and what came of each."},
    {"name": "runs", "description": "Single trainings, their histories and diagnoses."},
    {"name": "datasets", "description": "Uploaded files to train on."},
    {"name": "artifacts", "description": "Uploaded models: graphs of operators with their weights."},
    {"name": "specs", "description": "Checking a spec without training it."},
    {"name": "catalogues", "description": "What can be asked for and what can be found."},
    {"name": "probes", "description": "Whether the service lives and is ready."},
]

_PROBLEMS = {
    401: "No API key came, or not one that is known.",
    403: "Without API keys: called by a foreign name, or from a foreign page.",
    404: "There is no such thing.",
    406: "None of the forms that `Accept` takes is there.",
    408: "The body did not arrive in time.",
    409: "The right request at the wrong moment; `code` says which.",
    413: "The body is too large.",
    415: "The body is not sent as plain JSON.",
    422: "The document or a parameter is wrong; `errors` lists every place.",
    429: "As many jobs are queued as may be.",
    500: "The service failed; its log tells more under the request id.",
    503: "The database does not answer.",
}


def _posted(model: str, description: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": REFERENCE.format(model=model)}, "examples": examples}
    return {"requestBody": {"required": True, "description": description, "content": {"application/json": content}}}


POSTED_SPEC: dict[str, Any] = _posted(
    "JobSpec", "A job spec.", {"deep-sigmoid": {"summary": "Twenty sigmoid layers on digits", "value": DEEP_SIGMOID}}
)
"""For `openapi_extra` of a route that takes a job spec."""

POSTED_SWEEP: dict[str, Any] = _posted(
    "SweepSpec",
    "A job spec with a sweep beside it. What the sweep sets need not be in the spec.",
    {"rates": {"summary": "Three learning rates with two batch sizes each", "value": SWEEP}},
)
"""For `openapi_extra` of the route that takes a sweep."""

POSTED_RUN: dict[str, Any] = _posted(
    "NewRun",
    "A training that begins. An empty object is enough.",
    {"nightly": {"summary": "A name to find it by", "value": {"name": "nightly", "labels": {"team": "vision"}}}},
)
"""For `openapi_extra` of the route that takes a run from outside."""

POSTED_END: dict[str, Any] = _posted(
    "FinishedRun",
    "How it ended.",
    {
        "succeeded": {"summary": "It came to its end", "value": {"status": "succeeded"}},
        "failed": {
            "summary": "It raised",
            "value": {
                "status": "failed",
                "error": {"step": 120, "type": "RuntimeError", "message": "CUDA out of memory"},
            },
        },
    },
)
"""For `openapi_extra` of the route that ends a run from outside."""

POSTED_JUDGEMENT: dict[str, Any] = _posted(
    "Judgement",
    "The thresholds to judge by.",
    {"stricter": {"summary": "A stricter eye", "value": {"thresholds": {"vanishing_gain": 1e-3}}}},
)
"""For `openapi_extra` of the route that judges a run once more."""

POSTED_PART: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A part of the history: the JSON that `GET` gives of it, or our client's packed form.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["steps", "columns"],
                    "additionalProperties": False,
                    "properties": {
                        "steps": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "columns": {
                            "type": "object",
                            "description": 'By `<layer or parameter>/<signal>`: as many values as steps. "NaN", "Infinity" and '
                            '"-Infinity" are numbers too, null is what was not recorded.',
                            "additionalProperties": {
                                "type": "array",
                                "items": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]},
                            },
                        },
                        "facts": {"$ref": REFERENCE.format(model="ExternalFacts")},
                    },
                },
                "examples": {
                    "two steps": {
                        "value": {
                            "steps": [0, 1],
                            "columns": {
                                "loss": [2.3, "NaN"],
                                "fc.weight/grad_norm": [0.5, 0.4],
                                "grad_norm": [0.5, 0.4],
                            },
                        }
                    }
                },
            },
            PACKED: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""For `openapi_extra` of the route that takes a chunk of a history."""

SWEEP_TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sweep; as CSV its table, with a column for each pointer.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
"""For `responses` of the route that shows a sweep."""

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events. Of each `event` names the kind, `data` is JSON, and `id` goes into `Last-Event-ID` for "
        "what comes after it. Comments come at least every 15 seconds.",
        "content": {
            "text/event-stream": {
                "schema": {"oneOf": [{"$ref": REFERENCE.format(model=model.__name__)} for model in EVENT_MODELS]}
            }
        },
    },
    204: {"description": "`Last-Event-ID` is that of the end: nothing more will come."},
}
"""For `responses` of the route that streams a job's events."""

HISTORY_TABLES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The history; as CSV and as an Arrow IPC stream one row a step, or with `points` one row a bucket "
        "and the columns `<name>/min`, `<name>/max` and `<name>/mean`.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""For `responses` of the route that shows a history."""


def posted_file(description: str, media_types: Iterable[str]) -> dict[str, Any]:
    """Document an uploaded file, for `openapi_extra` of the route that takes it."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def upload_problems(unsupported: str) -> dict[int | str, dict[str, Any]]:
    """Document the problems that an upload can answer with; `unsupported` says what a 415 means there."""
    found = problems(408, 409, 413, 415)
    found[413] |= {"description": "The file is too large, or all uploads together would be."}
    found[415] |= {"description": unsupported}
    return found


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a route can answer with, beside those that every route can."""
    return {status: _documented(status) for status in sorted({*statuses, 422, 500})}


def v1_problems() -> dict[int | str, dict[str, Any]]:
    """Document the problems that every route under /v1 can answer with."""
    return {status: _documented(status) for status in (401, 403, 503)}


def document_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` return the whole document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for model in (JobSpec, SweepSpec, NewRun, FinishedRun, Judgement, Problem):
        schema = model.model_json_schema(ref_template=REFERENCE)
        for name, definition in (*schema.pop("$defs", {}).items(), (model.__name__, schema)):
            if schemas.setdefault(name, definition) != definition:
                raise RuntimeError(f"Two models are called {name}; OpenAPI can hold one of that name.")
    for event in EVENT_MODELS:
        schema = event.model_json_schema(ref_template=REFERENCE, mode="serialization")
        schemas |= schema.pop("$defs", {}) | {event.__name__: schema}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _documented(status: int) -> dict[str, Any]:
    reference = {"$ref": REFERENCE.format(model="Problem")}
    return {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": reference}}}
