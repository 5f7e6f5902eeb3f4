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
from service.errors import BodyTimeout, BodyTooLarge, UnsupportedContent

MAX_BODY_BYTES = 1_000_000
"""A spec written by hand has a few thousand; one with data in it some hundred thousand."""

_JSON = re.compile(r"application/([A-Za-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE)


class Accepted(NamedTuple):
    """A spec that was found right: as posted, as parsed, and as resolved."""

    document: dict[str, Any]
    spec: JobSpec
    resolved: ResolvedSpec


async def read_body(request: Request) -> bytes:
    """Read the body of a JSON request; what counts is what arrives, since a Content-Length can lie or be missing.

    Raises:
        UnsupportedContent: It is not sent as JSON, or it is compressed.
        BodyTooLarge: It is larger than `MAX_BODY_BYTES`.
        BodyTimeout: It does not arrive in time.
    """
    _check_content(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    seconds: float = request.app.state.settings.body_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _read_stream(request)
    except TimeoutError:
        raise BodyTimeout(seconds) from None


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


async def _read_stream(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(MAX_BODY_BYTES)
    return bytes(body)


def _check_content(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if not _JSON.fullmatch(kind):
        came = f"{kind[:80]!r} came" if kind else "none came"
        raise UnsupportedContent(f"The body has to be JSON, with `Content-Type: application/json`; {came}.")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedContent(f"The body has to be sent uncompressed; it came as {encoding[:40]!r}.")
