"""Answers that are made while they are sent, piece by piece, by code that blocks.

A piece is made in a thread when the one before it is on its way, so that a caller who is slow or gone holds none: only the
piece itself waits, and what the next ones are made of. So there are a few such answers at a time, and a caller who takes
nothing for long is given up. The first piece is made before the answer begins, so that what is wrong can still be told as
a problem.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from anyio import CapacityLimiter, fail_after, to_thread
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

Piece = bytes | memoryview

PIECE_SECONDS = 30.0
"""How long a caller may take for one piece, which has some megabytes at the most."""


@dataclass(frozen=True)
class Turns:
    """Who has to wait: for others' pieces to be made, and for others' answers to end."""

    pieces: CapacityLimiter
    answers: CapacityLimiter


async def stream(
    pieces: Iterator[Piece], turns: Turns, media_type: str, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Answer with pieces, once it is this answer's turn; until then nothing is made.

    Raises:
        Exception: Whatever making the first one raised.
    """
    await turns.answers.acquire_on_behalf_of(pieces)
    try:
        first = await to_thread.run_sync(_next, pieces, limiter=turns.pieces)
    except BaseException:
        turns.answers.release_on_behalf_of(pieces)
        raise
    return _Streamed(first, pieces, turns, media_type, headers)


class _Streamed(StreamingResponse):
    """Holds one of the turns until it has ended, one way or another."""

    def __init__(
        self,
        first: Piece | None,
        pieces: Iterator[Piece],
        turns: Turns,
        media_type: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        super().__init__(_sent(first, pieces, turns.pieces), 200, dict(headers or {}), media_type)
        self._pieces = pieces
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces.

        Raises:
            TimeoutError: The caller takes none; the server then cuts the connection.
        """

        async def send_in_time(message: Message) -> None:
            with fail_after(PIECE_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            self._turns.answers.release_on_behalf_of(self._pieces)


async def _sent(piece: Piece | None, pieces: Iterator[Piece], limiter: CapacityLimiter) -> AsyncIterator[Piece]:
    while piece is not None:
        if len(piece):
            yield piece
        piece = await to_thread.run_sync(_next, pieces, limiter=limiter)


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)
