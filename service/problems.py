"""Problem details (RFC 9457): the one table from error to status, and the one handler that every error goes through."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gradclinic.contract.naming import pointer
from gradclinic.errors import (
    ArtifactInUse,
    ChunkOutOfOrder,
    Conflict,
    DatasetInUse,
    DiagnosisNotReady,
    Fault,
    GradclinicError,
    InvalidSpec,
    JobIsLive,
    KeyReused,
    NoDiagnosis,
    NotFound,
    RunBelongsToJob,
    RunEnded,
    RunsFull,
)
from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    ForeignHost,
    ForeignOrigin,
    InvalidParameter,
    ListenersFull,
    NotAcceptable,
    QueueFull,
    RequestError,
    StoreUnavailable,
    Unauthorized,
    UnsupportedContent,
    UploadsFull,
)
from store.trouble import DATABASE_TROUBLE

logger = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[Exception], tuple[int, str]] = {
    InvalidSpec: (422, "The document is not valid"),
    NotFound: (404, "Not found"),
    DiagnosisNotReady: (409, "The diagnosis is not ready yet"),
    NoDiagnosis: (409, "There is no diagnosis"),
    JobIsLive: (409, "The job is live"),
    DatasetInUse: (409, "The data set is in use"),
    ArtifactInUse: (409, "The artifact is in use"),
    RunEnded: (409, "The run has ended"),
    ChunkOutOfOrder: (409, "Another chunk is expected"),
    RunBelongsToJob: (409, "The run is a job's"),
    Conflict: (409, "Not in this state"),
    KeyReused: (422, "The idempotency key was used with another body"),
    InvalidParameter: (422, "A parameter is not valid"),
    Unauthorized: (401, "An API key is needed"),
    ForeignHost: (403, "Not a name of this machine"),
    ForeignOrigin: (403, "A page from elsewhere"),
    BodyTimeout: (408, "The body did not arrive"),
    BodyTooLarge: (413, "The body is too large"),
    NotAcceptable: (406, "There is no such form"),
    UnsupportedContent: (415, "The content type is not supported"),
    UploadsFull: (413, "There is no room for more uploads"),
    RunsFull: (413, "There is no room for more runs"),
    QueueFull: (429, "The queue is full"),
    ListenersFull: (503, "Too many listen"),
    StoreUnavailable: (503, "The database does not answer"),
    RequestError: (400, "Bad request"),
}
"""From error to status and title. An error of the domain that is not here is a fault of ours: 500."""


QUEUE_RETRY_AFTER = "10"
"""Seconds after which a full queue is worth another try: most trainings take about that."""


class Place(BaseModel):
    """One wrong place."""

    pointer: str = Field(description="JSON pointer into the posted document, or /query/..., /header/....")
    detail: str = Field(description="What is wrong there.")
    expected: str | None = Field(description="What would be right.")


class Problem(BaseModel):
    """An error, as RFC 9457 writes it."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="Names the kind of problem; follows from `code`.")
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time, and what to do.")
    code: str = Field(description="Stable name of the problem, for programs.")
    request_id: str = Field(description="Names this request in the service's log.")
    errors: list[Place] = Field(description="Every wrong place, where there are places.")


def problem_response(  # noqa: PLR0913 - the members of a problem, each by its keyword
    request_id: str,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write one problem as an answer."""
    problem = Problem(
        type=f"urn:gradclinic:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=[Place(pointer=f.pointer, detail=f.detail, expected=f.expected) for f in faults],
    )
    return Response(
        problem.model_dump_json(),
        status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"} | dict(headers or {}),
    )


def internal_problem(request_id: str) -> Response:
    """Answer a fault of ours: nothing about it but the id under which the log tells more."""
    return problem_response(
        request_id,
        status=500,
        code="internal_error",
        title="Internal error",
        detail=f"The service failed. Its log tells more under the request id {request_id}.",
    )


def handle_known(request: Request, error: Exception) -> Response:
    """Answer an error of the domain or of a request through the table."""
    found = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
    if found is None:
        raise error
    status, title = found
    faults = error.faults if isinstance(error, InvalidSpec | InvalidParameter | ChunkOutOfOrder) else ()
    return problem_response(
        request_id_of(request),
        status=status,
        code=getattr(error, "code", "error"),
        title=title,
        detail=_summary(faults) if faults else str(error),
        faults=faults,
        headers=_headers_for(error),
    )


def handle_store(request: Request, error: Exception) -> Response:
    """Answer a database that is gone, locked or full of requests: it may be back soon."""
    logger.error("store_unavailable", error=repr(error))
    said = StoreUnavailable(
        "The database does not answer just now. Try again in a moment; with the same Idempotency-Key, no job is made twice."
    )
    return handle_known(request, said)


def handle_http(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    status = HTTPStatus(error.status_code)
    said = {
        404: f"There is nothing at {request.url.path}; /docs lists what there is.",
        405: f"{request.method} is not possible here; the Allow header lists what is.",
    }
    return problem_response(
        request_id_of(request),
        status=status.value,
        code=re.sub(r"[^a-z]+", "_", status.phrase.lower()),
        title=status.phrase,
        detail=said.get(status.value, str(error.detail)),
        headers=error.headers,
    )


def handle_parameters(request: Request, error: Exception) -> Response:
    """Answer query parameters, headers and paths that are wrong, each at its place."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    return handle_known(request, InvalidParameter([_parameter_fault(said) for said in error.errors()]))


def register_handlers(app: FastAPI) -> None:
    """Register the handlers; what none of them knows is caught by `service.frame`."""
    app.add_exception_handler(GradclinicError, handle_known)
    app.add_exception_handler(RequestError, handle_known)
    for trouble in DATABASE_TROUBLE:
        app.add_exception_handler(trouble, handle_store)
    app.add_exception_handler(HTTPException, handle_http)
    app.add_exception_handler(RequestValidationError, handle_parameters)


def request_id_of(request: Request) -> str:
    """Return the id that `service.frame` gave this request."""
    return str(request.scope["state"]["request_id"])


def _headers_for(error: Exception) -> dict[str, str]:
    match error:
        case DiagnosisNotReady():
            return {"Retry-After": str(error.retry_after)}
        case StoreUnavailable() | ListenersFull():
            return {"Retry-After": "1"}
        case QueueFull():
            return {"Retry-After": QUEUE_RETRY_AFTER}
        case BodyTimeout():
            return {"Connection": "close"}  # the rest of it may still come, and is no next request
        case Unauthorized():
            return {"WWW-Authenticate": 'Bearer realm="gradclinic"'}
        case _:
            return {}


def _summary(faults: Sequence[Fault]) -> str:
    first = f"{faults[0].pointer}: {faults[0].detail}" if faults[0].pointer else faults[0].detail
    return first if len(faults) == 1 else f"{len(faults)} places are wrong. The first: {first}"


def _parameter_fault(said: Mapping[str, Any]) -> Fault:
    wanted = str(said["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    given = repr(said["input"])
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    return Fault(
        pointer(*said["loc"]), f"{said['loc'][-1]} is {shown}. {wanted[:1].upper()}{wanted[1:]} was expected.", wanted
    )
