"""One attempt at a run, as its task sees it: what was claimed, whether to go on, and where to record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from gradclinic.contract.limits import Limits
from gradclinic.contract.trial import TrialResult
from gradclinic.errors import LeaseLost
from gradclinic.files import Files
from gradclinic.history import RunFacts
from store.claim import Claim
from store.endings import finish_run
from store.transactions import Store, Writer
from store.trouble import DATABASE_TROUBLE
from worker.lease import Lease
from worker.proving import advance_proof

log = structlog.get_logger("worker.attempt")

RETRY_SECONDS = 0.2
"""Pause before a write that met a database in trouble is tried again; a connection that was dropped is replaced at once."""

Record = Callable[[Writer, Claim], Any]
"""What writes something down in the name of a claim: fenced by it, and safe to be called again."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run.

    `deadline` is on the clock of `time.monotonic`; `stopping` is set when the worker is about to end; `ring` tells other
    workers that trials wait.
    """

    claim: Claim
    lease: Lease
    store: Store
    stopping: threading.Event
    deadline: float
    limits: Limits
    files: Files
    ring: Callable[[str], None] = lambda _: None

    @property
    def should_stop(self) -> bool:
        """Whether the training is in vain: cancelled, the lease lost, too long at work, or the worker about to end."""
        return self.stopping.is_set() or self.lease.cancel_requested or self.lease.is_lost or self.is_overdue

    @property
    def is_overdue(self) -> bool:
        """Whether the attempt took all the time that it has."""
        return time.monotonic() > self.deadline

    def record(self, record: Record) -> None:
        """Write something down in a transaction of its own, again and again for as long as the lease holds.

        A training of an hour shall not be lost to a database that restarts. Trying again is safe, for the claim fences
        it; where only the acknowledgement was lost, a chunk is there already and an ending finds the run ended.

        Raises:
            LeaseLost: Another attempt holds the run, or it has ended; nothing was written.
            OperationalError: Or any other of `DATABASE_TROUBLE`: the database did not come back before the lease ended.
        """
        while True:
            try:
                with self.store.writing() as writer:
                    record(writer, self.claim)
            except DATABASE_TROUBLE as error:
                if self.lease.is_lost:
                    raise
                log.warning("write_tried_again", error=repr(error))
                time.sleep(RETRY_SECONDS)
            else:
                return

    def conclude(self, facts: RunFacts, result: TrialResult) -> None:
        """Record the end of a run, and let its job go on.

        Raises:
            LeaseLost: Another attempt holds the run; nothing was written.
        """

        def concluded(writer: Writer, claim: Claim) -> None:
            finish_run(writer, claim, facts=facts, diagnosis=result.diagnosis, result=result)

        self.end(concluded)

    def end(self, ending: Record) -> None:
        """Record how the run ends, and let its job go on: should this process die in between, a dispatcher sees to that.

        Raises:
            LeaseLost: Another attempt holds the run; nothing was written.
        """
        try:
            self.record(ending)
        except LeaseLost:
            # Also where the run had ended before, and only the acknowledgement of that was lost.
            advance_proof(self.store, self.claim.job_id, self.ring)
            raise
        self.lease.close()
        advance_proof(self.store, self.claim.job_id, self.ring)
