"""Taking an uploaded data set in: streamed to disk and counted while it comes, told by its kind, then stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gradclinic.contract.uploaded import DatasetKind
from gradclinic.errors import Fault, InvalidSpec
from service.answers import dataset_with_links
from service.body import check_encoding, pieces_of
from service.errors import InvalidParameter, UnsupportedContent, UploadsFull
from service.openapi import problems
from service.provided import GivenSettings
from store.datasets import add_dataset, bytes_of_datasets
from store.idempotency import StoredAnswer, keep_answer, recall_answer
from store.settings import Settings
from store.transactions import Store

WRITTEN_AT_ONCE = 1024 * 1024
"""Bytes gathered before they are written, so that a stream in small pieces does not write small pieces."""

MEDIA_TYPES: dict[str, DatasetKind] = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/x-npz": "npz",
    "application/zip": "npz",
}
SUFFIXES: dict[str, DatasetKind] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
MAGIC: dict[bytes, DatasetKind] = {b"PAR1": "parquet", b"PK\x03\x04": "npz"}
"""How files begin that cannot be taken for another kind."""

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?(?=,|$)")

POSTED_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, uncompressed. Where the media type does not say what it is, the end of `name` "
        "does, or how the file begins.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("text/csv", "application/vnd.apache.parquet", "application/x-npz", "application/octet-stream")
        },
    }
}
"""For `openapi_extra` of the route that takes an upload."""

UPLOAD_PROBLEMS = problems(408, 409, 413, 415) | {
    413: problems(413)[413] | {"description": "The file is too large, or all uploads together would be."},
    415: problems(415)[415] | {"description": "It cannot be told whether this is CSV, Parquet or npz."},
}


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


def store_upload(
    store: Store, settings: Settings, received: Received, name: str | None, key: str | None
) -> StoredAnswer:
    """Add a data set, or recall the answer that the same upload with the same key got.

    Raises:
        UnsupportedContent: It cannot be told what kind of file it is.
        InvalidSpec: It is not of the kind that it is said to be.
        KeyReused: The key came with another request before.
        UploadsFull: All uploads together would be larger than the settings allow.
    """
    kind = _kind_of(received, name)
    fingerprint = hashlib.sha256(f"/v1/datasets\n{kind}\n{name}\n{received.sha256}".encode()).hexdigest()
    with store.writing() as writer:
        if key is not None and (kept := recall_answer(writer, key, fingerprint)):
            return StoredAnswer(kept.status, kept.body, kept.headers | {"Idempotency-Replayed": "true"})
        held = bytes_of_datasets(writer)
        if held + received.size > settings.max_datasets_bytes:
            raise UploadsFull(held, received.size, settings.max_datasets_bytes)
        dataset = dataset_with_links(add_dataset(writer, name=name, kind=kind, content=received.content))
        answer = StoredAnswer(201, dataset.model_dump_json(), {"Location": dataset.links["self"]})
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


def _kind_of(received: Received, name: str | None) -> DatasetKind:
    start = received.content.read(4)
    received.content.seek(0)
    media_type = received.media_type.partition(";")[0].strip().lower()
    said = MEDIA_TYPES.get(media_type) or SUFFIXES.get(PurePath(name or "").suffix.lower())
    found = MAGIC.get(start)
    if said is None and found is None:
        raise UnsupportedContent(
            f"It cannot be told what kind of file this is: {media_type[:80] or 'no media type'} came, and it does not begin "
            f"like Parquet or npz. Send `Content-Type: text/csv`, or a name that ends with {', '.join(SUFFIXES)}."
        )
    if said is not None and found != (None if said == "csv" else said):
        message = f"This is said to be {said}, and begins like {found or 'something else'}: {start!r}."
        raise InvalidSpec([Fault("", message, f"the content of a {said} file")])
    return said or found  # type: ignore[return-value]  # one of them is there, as was found above
