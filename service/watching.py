"""Watching jobs for those who listen to their events: one look at the store for all of them, however many listen.

A listener holds no connection of the database and no thread, only a place among `LISTENERS`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from anyio import CapacityLimiter, to_thread

from gradclinic.contract.job import LIVE, EarlyFinding
from gradclinic.errors import NotFound
from service.errors import ListenersFull
from store.ids import is_id
from store.transactions import Store
from store.trouble import DATABASE_TROUBLE
from store.watching import Glimpse, findings_at_end, glimpse_jobs

logger = structlog.get_logger(__name__)

LISTENERS = 256
"""Streams of events that are open at once."""

LOOK_SECONDS = 0.25
"""Between two looks at the store: half of the beat at which a worker tells its progress."""


@dataclass
class Watched:
    """A job that somebody listens to. `changed` is set when it is not like this any more, and replaced by a new one."""

    job_id: str
    seen: Glimpse | None = None
    at_end: list[EarlyFinding] = field(default_factory=list)
    listeners: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def findings(self) -> list[EarlyFinding]:
        """What was found until now: what was told early, then the others of the diagnosis. Each keeps its place."""
        early = self.seen.progress.findings if self.seen is not None else []
        told = {finding.rule for finding in early}
        return [*early, *(finding for finding in self.at_end if finding.rule not in told)]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.seen is not None and self.seen.status not in LIVE

    @property
    def attempt(self) -> int:
        """How often a worker took it up."""
        return self.seen.attempt if self.seen is not None else 0

    def show(self, seen: Glimpse | None, at_end: list[EarlyFinding]) -> None:
        """Take in how the job is now, and wake whoever listens if that is something new."""
        if (seen, at_end) != (self.seen, self.at_end):
            self.seen, self.at_end = seen, at_end
            self.wake()

    def wake(self) -> None:
        """Let whoever listens look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Watchers:
    """All jobs that somebody listens to, and the one task that looks at them. Used from the event loop alone."""

    def __init__(self, store: Store, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping
        self._watched: dict[str, Watched] = {}
        self._open = 0
        self._task: asyncio.Task[None] | None = None
        self._looks = CapacityLimiter(1)

    @property
    def is_stopping(self) -> bool:
        """Whether the service was told to stop: streams end then, and their listeners come back to the next one."""
        return self._stopping.is_set()

    async def join(self, job_id: str) -> Watched:
        """Watch a job, until `leave` is called.

        Raises:
            NotFound: There is none with that id.
            ListenersFull: As many streams are open as may be.
        """
        if self._open >= LISTENERS:
            raise ListenersFull(LISTENERS)
        self._open += 1
        try:
            watched = self._watched.get(job_id) or await self._begin(job_id)
        except BaseException:
            self._open -= 1
            raise
        watched.listeners += 1
        return watched

    def leave(self, watched: Watched) -> None:
        """Give a place back that `join` gave."""
        self._open -= 1
        watched.listeners -= 1
        if not watched.listeners and self._watched.get(watched.job_id) is watched:
            del self._watched[watched.job_id]

    async def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()

    async def _begin(self, job_id: str) -> Watched:
        if not is_id(job_id):
            raise NotFound("job", job_id)
        new = Watched(job_id)
        await self._look([new])
        if new.seen is None:
            raise NotFound("job", job_id)
        watched = self._watched.setdefault(job_id, new)  # another may have been faster
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())
        return watched

    async def _look_on(self) -> None:
        """Look until nobody listens. A database in trouble is looked at again: who listens sees nothing for a while."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._watched:
                self._task = None
                return
            if self.is_stopping:
                for watched in self._watched.values():
                    watched.wake()
                continue
            try:
                await self._look(list(self._watched.values()))
            except DATABASE_TROUBLE as error:
                logger.warning("jobs_not_seen", error=repr(error))

    async def _look(self, all_watched: list[Watched]) -> None:
        live = {one.job_id: one for one in all_watched if not one.has_ended}
        if live:
            known = {job_id: one.at_end for job_id, one in live.items()}
            seen, at_end = await to_thread.run_sync(self._read, known, limiter=self._looks)
            for job_id, one in live.items():
                one.show(seen.get(job_id), at_end.get(job_id, []))

    def _read(
        self, known: Mapping[str, list[EarlyFinding]]
    ) -> tuple[dict[str, Glimpse], dict[str, list[EarlyFinding]]]:
        """Look at jobs; of those that are judged by now return also what their diagnosis found, as known or read."""
        with self._store.reading() as reader:
            seen = glimpse_jobs(reader, known.keys())
            judged = [job_id for job_id, glimpse in seen.items() if glimpse.health is not None]
            return seen, {job_id: known[job_id] or findings_at_end(reader, job_id) for job_id in judged}
