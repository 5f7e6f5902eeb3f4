"""The body of a request while it comes: how it may be encoded, how large it may be, and how long it is waited for.

What counts is what arrives, since a Content-Length can lie or be missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from service.errors import BodyTimeout, BodyTooLarge, UnsupportedContent


def check_encoding(request: Request) -> None:
    """Refuse a compressed body: how large it is would show too late.

    Raises:
        UnsupportedContent: It is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedContent(f"The body has to be sent uncompressed; it came as {encoding[:40]!r}.")


async def pieces_of(request: Request, limit: int, idle_seconds: float | None = None) -> AsyncIterator[bytes]:
    """Yield the body as it comes, refusing at once what is declared to be too large.

    Raises:
        BodyTooLarge: It has more than `limit` bytes.
        BodyTimeout: The next piece did not come within `idle_seconds`.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise BodyTooLarge(limit)
    stream, size = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                piece = await anext(stream, None)
        except TimeoutError:
            message = (
                f"Nothing more of the body arrived for {idle_seconds:g} seconds, which is how long it is waited for."
            )
            raise BodyTimeout(message) from None
        if piece is None:
            return
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(limit)
        yield piece
