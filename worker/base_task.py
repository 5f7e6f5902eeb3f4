"""What every task on a job needs, once: claim, lease, context of the log, and how an attempt ends that went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from celery import Task
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import JobError
from gradclinic.errors import GradclinicError, LeaseLost, TrainingCancelled
from gradclinic.files import Files
from gradclinic.history import RunFacts
from store.diagnoses import save_diagnosis
from store.histories import save_facts
from store.queue import Claim, claim_job, end_cancelled, fail_job, finish_job
from store.runs import finish_run
from store.transactions import Store, Writer
from worker.lease import Lease
from worker.naming import worker_name
from worker.release import release_job

if TYPE_CHECKING:
    from worker.app import WorkerApp  # makes this task: a cycle at run time

log = structlog.get_logger("worker.job")

DATABASE_TROUBLE = (OperationalError, InterfaceError, PoolTimeout)
"""What a database raises when it is away or overrun, whatever was asked of it. It says nothing about the job."""

OUT_OF_MEMORY = JobError(
    type="out_of_memory",
    title="The training ran out of memory.",
    detail="The worker could not get the memory that this model and batch need. Make the model or the batch smaller.",
)
INTERNAL_ERROR = JobError(
    type="internal_error",
    title="The service failed.",
    detail="An error in the service itself kept it from finishing this job; the worker's log has it under the job's id. "
    "Post the job again, and report it if that fails too.",
)

Ending = Callable[[Writer, Claim], Any]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job, as its task sees it: what was claimed, and where to record."""

    claim: Claim
    lease: Lease
    store: Store
    files: Files
    stopping: threading.Event

    @property
    def should_stop(self) -> bool:
        """Whether the training is in vain: cancelled, the lease lost, or the worker about to end."""
        return self.stopping.is_set() or self.lease.cancel_requested or self.lease.is_lost

    def conclude(self, facts: RunFacts, diagnosis: Diagnosis) -> None:
        """Record the end of an analysis, in one transaction.

        Raises:
            LeaseLost: Another attempt holds the job; nothing was written.
        """
        self.lease.close()
        with self.store.writing() as writer:
            save_facts(writer, self.claim, facts)
            if facts.outcome is not None:
                finish_run(writer, self.claim, facts.outcome, diagnosis.health)
            save_diagnosis(writer, self.claim, diagnosis)
            finish_job(writer, self.claim, health=diagnosis.health)


class JobTask(Task[..., None]):
    """A task that is called with a job's id, and whose function gets an Attempt at it if the job is still to be had.

    The message is a hint: doubled, late or of a deleted job, it claims nothing and returns quietly. A task ends
    without an error whatever became of the job, because the row tells that and Celery keeps no results.
    """

    abstract = True
    ignore_result = True
    app: WorkerApp

    def __call__(self, job_id: str) -> None:
        """Make an attempt at the job, if it is to be had."""
        if self.app.stopping.is_set():
            return  # The job stays queued, and is announced again.
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            try:
                self._attempt(job_id)
            except LeaseLost:
                log.warning("lease_lost")
            except DATABASE_TROUBLE:
                # Not the job's fault: the lease runs out, and a sweep hands the job to the next attempt.
                log.exception("database_failed")

    def _attempt(self, job_id: str) -> None:
        store, seconds = self.app.store, self.app.settings.lease_seconds
        lease = Lease(store, seconds)
        with store.writing() as writer:
            claim = claim_job(writer, job_id, worker=worker_name(), lease_seconds=seconds)
        if claim is None:
            return
        with structlog.contextvars.bound_contextvars(attempt=claim.attempt):
            log.info("job_claimed")
            with lease.held(claim):
                ending = self._run_guarded(Attempt(claim, lease, store, self.app.files, self.app.stopping))
            if ending is not None:
                with store.writing() as writer:
                    ending(writer, claim)
            log.info("job_left", ending=getattr(ending, "__name__", "finished"))

    def _run_guarded(self, attempt: Attempt) -> Ending | None:
        """Run the task's function; return what has to be recorded where it did not get to its end."""
        try:
            self.run(attempt)
        except (LeaseLost, *DATABASE_TROUBLE):
            raise
        except TrainingCancelled:
            if attempt.lease.is_lost:
                raise LeaseLost("The lease ran out while the job was at work.") from None
            return end_cancelled if attempt.lease.cancel_requested else release_job
        except GradclinicError as error:
            # Said on purpose, for whoever posted the job: a file of the data is gone or damaged since then, for example.
            log.warning("job_refused", error=str(error))
            return _failed(JobError(type=error.code, title="The job could not be done.", detail=str(error)))
        except MemoryError:
            log.exception("out_of_memory")
            return _failed(OUT_OF_MEMORY)
        except Exception as error:  # the edge: whatever it is, the job must not hang
            log.exception("job_failed")
            return _failed(OUT_OF_MEMORY if "can't allocate memory" in str(error) else INTERNAL_ERROR)
        return None


def _failed(error: JobError) -> Ending:
    def failed(writer: Writer, claim: Claim) -> None:
        fail_job(writer, claim, error)

    return failed
