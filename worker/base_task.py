"""What every training needs, once: claim, lease, context of the log, and that each attempt leaves its ending."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from celery import Task

from gradclinic.errors import LeaseLost, TrainingCancelled
from store.claim import Claim
from store.queue import claim_next
from store.trouble import DATABASE_TROUBLE
from worker.attempt import Attempt, Record
from worker.endings import ending_of_error, ending_of_stop
from worker.lease import Lease
from worker.naming import worker_name

if TYPE_CHECKING:
    from worker.app import WorkerApp  # makes this task: a cycle at run time

log = structlog.get_logger("worker.job")


class RunTask(Task[..., None]):
    """A task that is called where something waits, and whose function gets an Attempt at the run whose turn it is.

    The message is a hint, and what it names may be taken up by another: doubled, late or of a deleted job, it claims
    nothing where nothing waits, and returns quietly. A task ends without an error whatever became of the run, because the
    row tells that and Celery keeps no results.
    """

    abstract = True
    ignore_result = True
    app: WorkerApp

    def __call__(self, waiting: str) -> None:
        """Make an attempt at the run whose turn it is, if one waits; `waiting` is what the message was sent for."""
        if self.app.stopping.is_set():
            return  # What waits stays queued, and is announced again.
        with structlog.contextvars.bound_contextvars():
            try:
                self._attempt()
            except LeaseLost:
                log.warning("lease_lost")
            except DATABASE_TROUBLE:
                # Not the job's fault: the lease runs out, and a sweep hands the run to the next attempt.
                log.exception("database_failed", waiting=waiting)

    def _attempt(self) -> None:
        store, settings = self.app.store, self.app.settings
        lease = Lease(store, settings.lease_seconds, settings.stalled_seconds, on_stall=self.app.on_stall)
        with store.writing() as writer:
            claim = claim_next(writer, worker=worker_name(), lease_seconds=settings.lease_seconds)
        if claim is None:
            return
        kind = "baseline" if claim.trial is None else "trial"
        # To the end of the call: also what is logged of an error names the run.
        structlog.contextvars.bind_contextvars(
            job_id=claim.job_id, run_id=claim.run_id, kind=kind, attempt=claim.attempt
        )
        log.info("run_claimed")
        with lease.held(claim):
            attempt = self._new_attempt(claim, lease)
            ending = self._run_guarded(attempt)
            if ending is not None:
                attempt.end(ending)
        log.info("run_left", ending=getattr(ending, "__name__", "finished"))

    def _new_attempt(self, claim: Claim, lease: Lease) -> Attempt:
        settings = self.app.settings
        deadline = time.monotonic() + settings.max_training_seconds
        app = self.app
        return Attempt(claim, lease, app.store, app.stopping, deadline, settings.limits, app.files, app.bell.ring)

    def _run_guarded(self, attempt: Attempt) -> Record | None:
        """Run the task's function; return what has to be recorded where it did not get to its end."""
        try:
            self.run(attempt)
        except (LeaseLost, *DATABASE_TROUBLE):
            raise
        except TrainingCancelled:
            return ending_of_stop(attempt, self.app.settings.max_training_seconds)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the job must not hang
            return ending_of_error(error)
        return None
