"""Reading what is posted: the bytes, within a limit, and the job spec in them, checked as far as that goes without training.

Bodies are parsed here and not by FastAPI, so that every fault is told at its place in the posted document.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request

from gradclinic.contract.limits import Limits
from gradclinic.contract.parse import load_json
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.contract.spec import JobSpec
from gradclinic.files import Files
from gradclinic.model import check_document
from service.body import check_encoding, pieces_of
from service.errors import BodyTimeout, UnsupportedContent

MAX_BODY_BYTES = 1_000_000
"""A spec written by hand has a few thousand; one with data in it some hundred thousand."""

_JSON = re.compile(r"application/([A-Za-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE)


class Accepted(NamedTuple):
    """A spec that was found right: as posted, as parsed, and as resolved."""

    document: dict[str, Any]
    spec: JobSpec
    resolved: ResolvedSpec


async def read_body(request: Request) -> bytes:
    """Read the body of a JSON request.

    Raises:
        UnsupportedContent: It is not sent as JSON, or it is compressed.
        BodyTooLarge: It is larger than `MAX_BODY_BYTES`.
        BodyTimeout: It does not arrive in time.
    """
    return await read_json_body(request, MAX_BODY_BYTES)


async def read_json_body(request: Request, limit: int) -> bytes:
    """Read the body of a JSON request of at most `limit` bytes; see `read_body`."""
    check_json(request)
    seconds: float = request.app.state.settings.body_seconds
    try:
        async with asyncio.timeout(seconds):
            return b"".join([piece async for piece in pieces_of(request, limit)])
    except TimeoutError:
        message = f"The body did not arrive within {seconds:g} seconds, which is how long it is waited for."
        raise BodyTimeout(message) from None


PostedBody = Annotated[bytes, Depends(read_body)]
"""The bytes of a JSON request."""


def accept_spec(body: bytes, limits: Limits, files: Files | None = None) -> Accepted:
    """Read a job spec from a body and check all that can be checked before it trains.

    Raises:
        InvalidSpec: Something is wrong; `faults` lists every place.
    """
    return accept_document(load_json(body), limits, files)


def accept_document(document: Any, limits: Limits, files: Files | None = None) -> Accepted:
    """Check a job spec given as plain objects; see `accept_spec`."""
    return Accepted(document, *check_document(document, limits, files))


def is_json(request: Request) -> bool:
    """Tell whether the body is said to be JSON."""
    return _JSON.fullmatch(request.headers.get("content-type", "")) is not None


def check_json(request: Request) -> None:
    """Refuse a body that is not sent as plain JSON.

    Raises:
        UnsupportedContent: It is not.
    """
    kind = request.headers.get("content-type", "")
    if not is_json(request):
        came = f"{kind[:80]!r} came" if kind else "none came"
        raise UnsupportedContent(f"The body has to be JSON, with `Content-Type: application/json`; {came}.")
    check_encoding(request)
