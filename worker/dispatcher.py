"""The dispatcher: a thread of each worker's main process that turns queued runs into messages.

It sweeps up what dead workers held and announces what is queued; the message only rings, so that one lost, doubled or
late changes nothing. It feeds the in-memory transport of the embedded system, and is the outbox relay before Redis. It
also deletes what was kept long enough, and gives a SQLite file's free pages back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from store.engine import give_back_space
from store.idempotency import forget_old_answers
from store.queue import announce_due, is_work_due, sweep_expired
from store.retention import delete_expired
from store.settings import Settings
from store.transactions import Store
from store.trials import left_alone
from store.trouble import DATABASE_TROUBLE
from store.workers import note_worker
from worker.naming import worker_name
from worker.proving import advance_proof

log = structlog.get_logger("worker.dispatcher")

RELAY_SECONDS = 0.5
"""Shortest pause between two looks where there is a broker: the service rings after its commit, so this only mends."""

LONGEST_PAUSE_SECONDS = 5.0
"""Longest pause between two tries while the database or the broker is away."""

SWEEP_SECONDS = 0.5
"""Pause between two sweeps; a lease is seconds long."""

LOOK_SECONDS = 5.0
"""Pause between two looks for jobs that go on no more: a worker that died at that very moment is rare."""

NOTE_SECONDS = 10.0
"""Pause between two notes that this worker is there."""

TIDY_SECONDS = 600.0
"""Pause between two removals of what was kept long enough."""

SHRINK_SECONDS = 1.0
"""Pause between two looks whether the database file has free pages to give back."""


class Dispatcher:
    """Looks at the table of runs again and again until it is stopped, and outlives every outage.

    Args:
        store: The database.
        settings: Intervals and the number of attempts.
        room: Asks how many messages may be sent now.
        send: Sends a run's id to the workers.
        report_alive: Called after every round that went through.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        room: Callable[[], int],
        send: Callable[[str], None],
        report_alive: Callable[[], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._room = room
        self._send = send
        self._report_alive = report_alive
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._next_sweep = self._next_tidying = self._next_note = self._next_expiry = self._next_shrink = 0.0
        self._next_look = 0.0
        self._failing = False
        relayed = settings.broker_url is not None
        self._interval = max(settings.dispatch_interval, RELAY_SECONDS if relayed else 0.0)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the round at work be the last one. Returns at once, and may be called by a signal handler."""
        self._stopped.set()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the last round to end, for so long at most."""
        self._thread.join(timeout_seconds)

    def run_round(self) -> list[str]:
        """Sweep and announce once; return the ids that were sent."""
        again_after = self._settings.reannounce_seconds
        self._look_after_proofs()
        with self._store.reading() as reader:
            if not is_work_due(reader, again_after=again_after):
                return []
        self._sweep()
        room = self._room()
        if room <= 0:
            return []
        with self._store.writing() as writer:
            due = announce_due(writer, limit=room, again_after=again_after)
        for run_id in due:
            self._send(run_id)
        return due

    def _run(self) -> None:
        pause = self._interval
        while not self._stopped.wait(pause):
            try:
                self.run_round()
                self._note()
                self._tidy()
                self._expire()
                self._shrink()
                self._report_alive()
            except Exception as error:  # database, broker, disk: whatever is away comes back
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                if not self._failing:
                    log.warning("dispatcher_failed", error=repr(error), exc_info=True)
                self._failing = True
            else:
                pause = self._interval
                if self._failing:
                    log.info("dispatcher_recovered")
                self._failing = False

    def _sweep(self) -> None:
        if time.monotonic() < self._next_sweep:
            return
        with self._store.writing() as writer:
            lapsed = sweep_expired(writer, max_attempts=self._settings.max_attempts)
        self._next_sweep = time.monotonic() + SWEEP_SECONDS
        if lapsed:
            log.warning(
                "leases_expired", job_ids=[run.job_id for run in lapsed], run_ids=[run.run_id for run in lapsed]
            )
        self._go_on(dict.fromkeys(run.job_id for run in lapsed if run.is_trial and run.became == "failed"))

    def _look_after_proofs(self) -> None:
        """Let jobs go on whose worker died between the end of a run and what follows from it."""
        if time.monotonic() < self._next_look:
            return
        with self._store.reading() as reader:
            left = left_alone(reader, idle_seconds=self._settings.lease_seconds)
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._go_on(left)

    def _go_on(self, job_ids: Iterable[str]) -> None:
        """Let jobs go on, each by itself: one that cannot holds up no other, and is looked at again."""
        for job_id in job_ids:
            try:
                advance_proof(self._store, job_id)
            except DATABASE_TROUBLE:
                raise
            except Exception:
                log.exception("proof_not_advanced", job_id=job_id)

    def _note(self) -> None:
        if time.monotonic() < self._next_note:
            return
        with self._store.writing() as writer:
            note_worker(writer, worker_name())
        self._next_note = time.monotonic() + NOTE_SECONDS

    def _tidy(self) -> None:
        if time.monotonic() < self._next_tidying:
            return
        with self._store.writing() as writer:
            forget_old_answers(writer)
        self._next_tidying = time.monotonic() + TIDY_SECONDS

    def _expire(self) -> None:
        days = self._settings.retention_days
        if days is None or time.monotonic() < self._next_expiry:
            return
        with self._store.writing() as writer:
            deleted = delete_expired(writer, days=days)
        if deleted:  # there may be more, after whoever waits to write
            log.info("expired_deleted", count=deleted)
        else:
            self._next_expiry = time.monotonic() + TIDY_SECONDS

    def _shrink(self) -> None:
        if time.monotonic() >= self._next_shrink and not give_back_space(self._store.engine):
            self._next_shrink = time.monotonic() + SHRINK_SECONDS
