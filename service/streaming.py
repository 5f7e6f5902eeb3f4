"""Answers that are made while they are sent, piece by piece, by code that blocks.

A piece is made in a thread when the one before it is on its way, so that a caller who is slow or gone holds none: only the
piece itself waits. The first is made before the answer begins, so that what is wrong can still be told as a problem.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from anyio import CapacityLimiter, to_thread
from starlette.responses import StreamingResponse

Piece = bytes | memoryview


async def stream(
    pieces: Iterator[Piece], limiter: CapacityLimiter, media_type: str, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Answer with pieces; whoever makes one holds a place of the limiter, and nobody between two.

    Raises:
        Exception: Whatever making the first one raised.
    """
    first = await to_thread.run_sync(_next, pieces, limiter=limiter)
    return StreamingResponse(_sent(first, pieces, limiter), 200, dict(headers or {}), media_type)


async def _sent(piece: Piece | None, pieces: Iterator[Piece], limiter: CapacityLimiter) -> AsyncIterator[Piece]:
    while piece is not None:
        if len(piece):
            yield piece
        piece = await to_thread.run_sync(_next, pieces, limiter=limiter)


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)
