"""Taking an upload in: streamed to disk and counted while it comes, then stored. What it may be is its route's business."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import IO, Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gradclinic.contract.limits import Limits
from gradclinic.errors import Fault, InvalidSpec
from service.answers import upload_with_links
from service.body import check_encoding, pieces_of
from service.errors import InvalidParameter, UploadsFull
from service.provided import GivenSettings
from store.idempotency import StoredAnswer, keep_answer, recall_answer
from store.settings import Settings
from store.transactions import Store
from store.uploads import Uploads, bytes_of_uploads

WRITTEN_AT_ONCE = 1024 * 1024
"""Bytes gathered before they are written, so that a stream in small pieces does not write small pieces."""

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?(?=,|$)")


@dataclass(frozen=True)
class Received:
    """An upload that has arrived whole."""

    content: IO[bytes]
    size: int
    sha256: str
    media_type: str


async def receive_upload(request: Request, settings: GivenSettings) -> AsyncIterator[Received]:
    """Write the body to a file without a name, which is gone when the request is over, whatever came of it.

    Raises:
        BodyTooLarge: It is larger than the settings allow.
        BodyTimeout: It stops arriving.
        UnsupportedContent: It is sent compressed.
        InvalidSpec: It is empty.
        InvalidParameter: It is not what its `Content-Digest` says.
    """
    check_encoding(request)
    folder = settings.data_dir.resolve() / "cache"
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as content:
        digest = hashlib.sha256()
        async for piece in _gathered(pieces_of(request, settings.max_upload, settings.body_seconds)):
            digest.update(piece)
            await run_in_threadpool(content.write, piece)
        size = content.tell()
        if not size:
            raise InvalidSpec([Fault("", "The body is empty.", "the content of a file")])
        _check_digest(request, digest.digest())
        content.seek(0)
        yield Received(content, size, digest.hexdigest(), request.headers.get("content-type", ""))


GivenUpload = Annotated[Received, Depends(receive_upload)]


@dataclass(frozen=True)
class UploadRoute:
    """Where one sort of uploads is posted to, what they are added to, and what tells their kind or refuses them."""

    path: str
    uploads: Uploads[Any]
    kind_of: Callable[[Received, str | None, Limits], str]


def store_upload(  # noqa: PLR0913, PLR0917 - what the route was given
    store: Store, settings: Settings, route: UploadRoute, received: Received, name: str | None, key: str | None
) -> StoredAnswer:
    """Add an upload, or recall the answer that the same upload with the same key got.

    Raises:
        UnsupportedContent: It cannot be told what kind of file it is.
        InvalidSpec: It is not of the kind that it is said to be, or something in it is wrong.
        KeyReused: The key came with another request before.
        UploadsFull: All uploads together would be larger than the settings allow.
    """
    kind = route.kind_of(received, name, settings.limits)
    received.content.seek(0)
    fingerprint = hashlib.sha256(f"{route.path}\n{kind}\n{name}\n{received.sha256}".encode()).hexdigest()
    with store.writing() as writer:
        if key is not None and (kept := recall_answer(writer, key, fingerprint)):
            return StoredAnswer(kept.status, kept.body, kept.headers | {"Idempotency-Replayed": "true"})
        held = bytes_of_uploads(writer)
        if held + received.size > settings.max_datasets_bytes:
            raise UploadsFull(held, received.size, settings.max_datasets_bytes)
        added = upload_with_links(route.uploads.add(writer, name=name, kind=kind, content=received.content), route.path)
        answer = StoredAnswer(201, added.model_dump_json(), {"Location": added.links["self"]})
        if key is not None:
            keep_answer(writer, key, fingerprint, answer)
    return answer


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Make larger pieces of small ones."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        if len(gathered) >= WRITTEN_AT_ONCE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _check_digest(request: Request, digest: bytes) -> None:
    """Compare with `Content-Digest` (RFC 9530), if it came; digests of another algorithm say nothing here."""
    for given in _DIGEST.findall(request.headers.get("content-digest", "")):
        try:
            is_right = base64.b64decode(given, validate=True) == digest
        except binascii.Error:
            is_right = False
        if not is_right:
            right = base64.b64encode(digest).decode()
            message = "What arrived is not what this digest was made from. Send the file again."
            raise InvalidParameter([Fault("/header/Content-Digest", message, f"sha-256=:{right}:")])
