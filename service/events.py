"""What to tell a listener of a job next: the difference between what it knows and what is, as server-sent events.

What a listener knows stands in the id of the last event that it got, so that it can go on anywhere: after a lost connection,
and with another service over the same database. Nothing is kept of it here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from anyio import fail_after
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gradclinic.contract.event import EndEvent, FindingEvent, JobEvent, ProgressEvent, StatusEvent
from gradclinic.contract.job import LIVE, EarlyFinding
from service.streaming import PIECE_SECONDS
from service.watching import Watched, Watchers
from store.watching import Glimpse

HEARTBEAT_SECONDS = 15.0
"""Between two signs of life where nothing happens, as the standard suggests: many proxies cut what is silent for a minute."""

RETRY_MILLISECONDS = 1000
"""After how long a listener whose connection was lost shall come back."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nobody on the way may keep events, or hold them back until there are more."""

_KNOWN = re.compile(r"(\d{1,9})\.(\w{1,20})\.(\w{1,20})\.(\d{1,9})\.(\d{1,10})\.(\d{1,9})\.(\d{1,9})(\.end)?")


@dataclass(frozen=True)
class Known:
    """What a listener was told: of which attempt, its status, health, how many findings, its progress, and its end."""

    attempt: int = 0
    status: str = "none"
    health: str = "none"
    findings: int = 0
    step: int = 0
    trials: int = 0
    trials_planned: int = 0
    has_ended: bool = False

    def __str__(self) -> str:
        told = (self.attempt, self.status, self.health, self.findings, self.step, self.trials, self.trials_planned)
        return ".".join(map(str, told)) + (".end" if self.has_ended else "")


def read_known(last_event_id: str | None) -> Known:
    """Read what a listener knows from the id of its last event; nothing where that is none of ours."""
    found = _KNOWN.fullmatch(last_event_id or "")
    if found is None:
        return Known()
    attempt, status, health, findings, step, trials, planned, end = found.groups()
    return Known(int(attempt), status, health, int(findings), int(step), int(trials), int(planned), end is not None)


async def answer_events(watchers: Watchers, job_id: str, known: Known) -> Response:
    """Answer with a job's events; with nothing where its listener knows of the end: that tells it not to come back.

    Raises:
        NotFound: There is no job with that id.
        ListenersFull: As many streams are open as may be.
    """
    watched = await watchers.join(job_id)
    if known.has_ended and watched.has_ended and watched.attempt == known.attempt:
        watchers.leave(watched)
        return Response(None, 204)
    return _Stream(watchers, watched, known)


class _Stream(EventSourceResponse):
    """Leaves its place when it has ended, one way or another."""

    def __init__(self, watchers: Watchers, watched: Watched, known: Known) -> None:
        super().__init__(stream_events(watchers, watched, known), headers=HEADERS)
        self._watchers, self._watched = watchers, watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events.

        Raises:
            TimeoutError: The listener takes none; the server then cuts the connection.
        """

        async def send_in_time(message: Message) -> None:
            with fail_after(PIECE_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            self._watchers.leave(self._watched)


async def stream_events(watchers: Watchers, watched: Watched, known: Known) -> AsyncIterator[bytes]:
    """Yield events until the job has ended or is gone, or the service stops."""
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    while not watchers.is_stopping:
        changed = watched.changed  # before looking, so that no change falls between
        if watched.seen is None:
            return
        for after, event in news(watched.seen, watched.findings, known):
            yield format_sse_event(event=event.event, data_str=event.model_dump_json(), id=str(after))
            known = after
        if watched.seen.status not in LIVE:
            return
        try:
            await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
        except TimeoutError:
            yield KEEPALIVE_COMMENT


def news(seen: Glimpse, findings: Sequence[EarlyFinding], known: Known) -> Iterator[tuple[Known, JobEvent]]:
    """Yield the events that lead from what is known to what is, each with what is known after it."""
    if known.attempt != seen.attempt:
        known = Known(seen.attempt, known.status, known.health)
    status = StatusEvent(status=seen.status, health=seen.health, attempt=seen.attempt)
    told = replace(known, status=seen.status, health=seen.health or "none")
    # A diagnosis is told by its findings first; then comes what follows from it.
    if told != known and seen.health is None:
        yield (known := told), status
    far = {name: getattr(seen.progress, name) for name in ("step", "trials", "trials_planned")}
    if (farther := replace(known, **far)) != known:
        yield (known := farther), ProgressEvent(progress=seen.progress)
    for finding in findings[known.findings :]:
        known = replace(known, findings=known.findings + 1)
        yield known, FindingEvent(finding=finding)
    if (known.status, known.health) != (told.status, told.health):
        known = replace(known, status=told.status, health=told.health)
        yield known, status
    if seen.status not in LIVE:
        yield replace(known, has_ended=True), EndEvent(status=seen.status, health=seen.health, error=seen.error)
