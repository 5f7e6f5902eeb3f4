"""What follows for a job when one of its runs has ended: more trials, or its end. What that is the library works out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from gradclinic.contract.job import JobError
from gradclinic.contract.trial import TrialResult
from store.endings import cancel_job, continue_proof, fail_job, finish_job
from store.transactions import Writer
from store.trials import Proof, open_proof

log = structlog.get_logger("worker.proof")

INTERNAL_ERROR = JobError(
    type="internal_error",
    title="The service failed.",
    detail="An error in the service itself kept it from finishing this job; the worker's log has it under the job's id. "
    "Post the job again, and report it if that fails too.",
)


def advance_proof(writer: Writer, job_id: str, ring: Callable[[str], None] = lambda _: None) -> None:
    """Let a job go on after one of its runs has ended, in the transaction that ended it.

    `ring` is called for each trial that waits then, once that is committed; a dispatcher would find them a little later.

    Nothing happens while other trials of it are outstanding: each stage waits for its last. What comes next follows from the
    results alone, so that it is the same whichever worker was last.
    """
    proof = open_proof(writer, job_id)
    if proof is None:
        return
    # The dispatcher's process has this module too, and shall not carry scipy for the rare run that it ends itself.
    from gradclinic.trials import advance  # noqa: PLC0415 - see above

    try:
        ahead = advance(proof.document, proof.baseline, _results(proof))
    except Exception:
        log.exception("proof_failed", job_id=job_id)
        fail_job(writer, job_id, INTERNAL_ERROR)
        return
    if not ahead.trials:
        finish_job(writer, job_id, ahead.diagnosis)
    elif proof.cancel_requested:
        cancel_job(writer, job_id, ahead.diagnosis)
    else:
        continue_proof(writer, job_id, proof, ahead)
        for _ in ahead.trials:
            writer.after_commit(partial(ring, job_id))


def _results(proof: Proof) -> list[TrialResult]:
    """Return the results of all trials; one that could not be done counts as no better than a trivial predictor."""
    from gradclinic.trials import failed_result  # noqa: PLC0415 - likewise

    return [
        failed_result(trial, proof.baseline, f"{came_of.title} {came_of.detail}")
        if isinstance(came_of, JobError)
        else came_of
        for trial, came_of in proof.ended
    ]
