"""How an attempt ends that did not get to its own end: from what was raised to what the run's row will say."""

from __future__ import annotations

import structlog

from gradclinic.contract.job import JobError
from gradclinic.errors import GradclinicError, LeaseLost
from store.claim import Claim
from store.endings import end_cancelled, fail_run
from store.queue import release_run
from store.transactions import Writer
from worker.attempt import Attempt, Record
from worker.proving import INTERNAL_ERROR

log = structlog.get_logger("worker.job")

OUT_OF_MEMORY = JobError(
    type="out_of_memory",
    title="The training ran out of memory.",
    detail="The worker could not get the memory that this model and batch need. Make the model or the batch smaller.",
)


def ending_of_stop(attempt: Attempt, max_training_seconds: float) -> Record:
    """Say how a training ends that stopped because its attempt said so.

    Raises:
        LeaseLost: That was the reason; there is nothing to record.
    """
    if attempt.lease.is_lost:
        raise LeaseLost("The lease ran out while the run was at work.")
    if attempt.lease.cancel_requested:
        return end_cancelled
    if attempt.is_overdue:  # also where the worker is about to end: another attempt would take as long
        return _failed(_timeout(max_training_seconds))
    return release_run


def ending_of_error(error: Exception) -> Record:
    """Say how a run ends whose training raised."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        log.error("out_of_memory", exc_info=error)
        return _failed(OUT_OF_MEMORY)
    if isinstance(error, GradclinicError):
        log.warning("run_refused", code=error.code, error=str(error))
        return _failed(JobError(type=error.code, title="The training could not be done.", detail=str(error)))
    log.error("run_failed", exc_info=error)
    return _failed(INTERNAL_ERROR)


def _timeout(seconds: float) -> JobError:
    return JobError(
        type="timeout",
        title="The training took too long.",
        detail=f"It was stopped after {seconds:g} seconds, the most that one training may take here. Train fewer steps, or "
        "make the model or the batch smaller; whoever runs the worker can set GRADCLINIC_MAX_TRAINING_SECONDS.",
    )


def _failed(error: JobError) -> Record:
    def failed(writer: Writer, claim: Claim) -> None:
        fail_run(writer, claim, error)

    return failed
