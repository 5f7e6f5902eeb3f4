"""Waiting for a job or a sweep to end: `Prefer: wait=N` (RFC 7240) or `?wait=N`. No connection is held while it waits."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query, Request
from starlette.concurrency import run_in_threadpool

from gradclinic.contract.job import LIVE, Job

SeenT = TypeVar("SeenT")

MAX_WAIT = 60
"""Seconds that an answer is held at most; many proxies cut a silent connection soon after."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.03, 1.0
PAUSE_SHARE = 0.05
"""A look at the store every twentieth of the time waited so far: an answer comes at most so much late."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=[,;]|$)", re.IGNORECASE)


async def asked_to_wait(
    prefer: Annotated[str | None, Header(description="`wait=N` holds the answer up to N seconds, at most 60.")] = None,
    wait: Annotated[int | None, Query(ge=0, description="The same as `Prefer: wait=N`, for a plain URL.")] = None,
) -> int:
    """Return the seconds to wait. A preference that cannot be read is none (RFC 7240, section 2)."""
    if wait is None:
        found = _WAIT.search(prefer or "")
        wait = int(found[1]) if found else 0
    return min(wait, MAX_WAIT)


Wait = Annotated[int, Depends(asked_to_wait)]
"""The seconds that the caller is ready to wait."""


async def wait_for_end(request: Request, seconds: int, look: Callable[[], Job]) -> Job:
    """Look again and again until the job has ended, the time is up, the caller is gone, or the service stops."""
    return await wait_while(lambda job: job.status in LIVE, request, seconds, look)


async def wait_while(live: Callable[[SeenT], bool], request: Request, seconds: int, look: Callable[[], SeenT]) -> SeenT:
    """Look again and again while what is seen is live; see `wait_for_end`."""
    started = time.monotonic()
    seen = await run_in_threadpool(look)
    while live(seen) and (waited := time.monotonic() - started) < seconds:
        if request.app.state.stopping.is_set() or await request.is_disconnected():
            break
        pause = min(max(waited * PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE, seconds - waited)
        await asyncio.sleep(pause)
        seen = await run_in_threadpool(look)
    return seen


def preference_applied(seconds: int) -> dict[str, str]:
    """Return the header that says how long the service was ready to wait."""
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}
