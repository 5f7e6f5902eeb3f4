"""The body of a posted chunk: told by its type, and kept out of memory until its turn has come to be unpacked."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gradclinic.history.packed import MAX_PACKED_BYTES, MEDIA_TYPE
from service.body import check_encoding, pieces_of
from service.errors import UnsupportedContent
from service.external_form import PostedPart, read_json, read_packed
from service.posted import is_json
from service.provided import GivenSettings

MAX_JSON_BYTES = 4 * 1024 * 1024
"""Of a chunk as JSON, some two hundred thousand numbers: JSON takes twenty times its length when it is read."""

IN_MEMORY = 256 * 1024
"""Bytes of a body that is not written to a file while it waits."""


@dataclass(frozen=True)
class PostedChunk:
    """A chunk that has arrived whole."""

    content: IO[bytes]
    packed: bool

    def read(self) -> tuple[bytes, PostedPart]:
        """Return the chunk as it came, and what it says; for when its turn has come.

        Raises:
            InvalidSpec: It is no part of a history.
        """
        self.content.seek(0)
        body = self.content.read()
        return body, read_packed(body) if self.packed else read_json(body)


async def receive_chunk(request: Request, settings: GivenSettings) -> AsyncIterator[PostedChunk]:
    """Take the body in; what it was written to has no name, and is gone when the request is over.

    Raises:
        UnsupportedContent: It is neither JSON nor packed, or it is compressed.
        BodyTooLarge: It is larger than a chunk of its form may be.
        BodyTimeout: It stops arriving.
    """
    packed = request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA_TYPE
    if not packed and not is_json(request):
        kind = request.headers.get("content-type", "nothing")[:80]
        raise UnsupportedContent(f"The body has to be `application/json` or `{MEDIA_TYPE}`; {kind!r} came.")
    check_encoding(request)
    folder = settings.data_dir.resolve() / "cache"
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(folder)) as content:
        limit = MAX_PACKED_BYTES if packed else MAX_JSON_BYTES
        async for piece in pieces_of(request, limit, settings.body_seconds):
            await run_in_threadpool(content.write, piece)
        yield PostedChunk(content, packed)


GivenChunk = Annotated[PostedChunk, Depends(receive_chunk)]
