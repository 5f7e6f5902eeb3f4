"""The heartbeat of one attempt: a thread that renews the lease, tells the progress and brings back what to know.

It stops no training itself: the loop asks between two steps. Only of a step that never returns it says so, for nobody
else can.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gradclinic.errors import LeaseLost
from store.queue import Claim, record_progress, renew_lease
from store.transactions import Store

log = structlog.get_logger("worker.lease")

LONGEST_BEAT_SECONDS = 0.5
"""Progress and a cancellation travel with the heartbeat, so it beats faster than a long lease alone would need."""


class Lease:
    """The right to work on a run, from shortly before the claim until it is closed or lost.

    `step` and `signs` are set by the training and read by the heartbeat; `cancel_requested` and `is_lost` go the other way.
    Each is written by one thread alone. `signs` counts the signs of life beside the steps: what is trained after the last of
    them to measure something moves no `step`.

    Args:
        store: The database.
        seconds: How long it lasts unless it is renewed.
        stalled_seconds: How long it is renewed without a step done or another sign of life; then it runs out, and the run is for others.
        on_stall: Called once it is given up so, from the heartbeat's thread: the training's own may never return.
    """

    def __init__(
        self,
        store: Store,
        seconds: float,
        stalled_seconds: float = math.inf,
        on_stall: Callable[[], None] = lambda: None,
    ) -> None:
        self.step = 0
        self.signs = 0
        self.cancel_requested = False
        self._store = store
        self._seconds = seconds
        self._stalled_seconds = stalled_seconds
        self._on_stall = on_stall
        self._seen = (0, 0)
        self._seen_at = time.monotonic()
        self._told_step = 0
        self._renewed_at = time.monotonic()
        self._fenced_off = False
        self._failing = False
        self._closed = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether another attempt may hold the run by now: fenced off, or not renewed for a whole lease."""
        return self._fenced_off or time.monotonic() - self._renewed_at > self._seconds

    @contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Renew the lease of `claim` from a thread of its own until the block ends or `close` is called."""
        thread = threading.Thread(target=self._beat_on, args=(claim,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.close()
            thread.join()

    def close(self) -> None:
        """Stop renewing."""
        self._closed.set()

    def _beat_on(self, claim: Claim) -> None:
        interval = min(self._seconds / 4, LONGEST_BEAT_SECONDS)
        while not self._closed.wait(interval) and not self.is_lost:
            if self._is_stalled():
                log.error("training_stalled", step=self.step, after_seconds=self._stalled_seconds)
                self._fenced_off = True
                self._on_stall()
                return
            self._beat(claim)

    def _is_stalled(self) -> bool:
        """Tell whether the training went no further for too long."""
        now, reached = time.monotonic(), (self.step, self.signs)
        if reached != self._seen:
            self._seen, self._seen_at = reached, now
        return now - self._seen_at > self._stalled_seconds

    def _beat(self, claim: Claim) -> None:
        asked_at, step = time.monotonic(), self.step
        try:
            with self._store.writing() as writer:
                if step != self._told_step:
                    record_progress(writer, claim, step)  # first: it locks the job, and then the run
                cancel_requested = renew_lease(writer, claim, self._seconds)
        except LeaseLost:
            self._fenced_off = True
        except SQLAlchemyError as error:
            if not self._failing:
                log.warning("lease_not_renewed", error=repr(error))
            self._failing = True
        else:
            self._failing = False
            self._renewed_at, self._told_step = asked_at, step
            self.cancel_requested = cancel_requested
