"""What follows for a job when one of its runs has ended: more trials, or its end. What that is the library works out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import JobError
from gradclinic.contract.trial import TrialResult
from store.endings import cancel_job, continue_proof, fail_job, finish_job
from store.stored import UnreadableRecord
from store.transactions import Store, Writer
from store.trials import Proof, hold_proof, open_proof, unreadable

if TYPE_CHECKING:
    from gradclinic.trials import Advance  # brings scipy

log = structlog.get_logger("worker.proof")

INTERNAL_ERROR = JobError(
    type="internal_error",
    title="The service failed.",
    detail="An error in the service itself kept it from finishing this job; the worker's log has it under the job's id. "
    "Post the job again, and report it if that fails too.",
)


def advance_proof(store: Store, job_id: str, ring: Callable[[str], None] = lambda _: None) -> None:
    """Let a job go on after one of its runs has ended, which is committed by then. It may be called at any time.

    `ring` is called for each trial that waits then, once that is committed; a dispatcher would find them a little later.

    Nothing happens while other trials of it are outstanding: each stage waits for its last, and of workers that end the last
    two at once both see that. What comes next follows from the results alone, so that it is the same whoever works it out; it
    takes seconds where the spec has its data in it, and nobody shall wait for those to write. So it is worked out between
    two transactions, and the second one writes it down unless somebody else was faster.
    """
    while True:
        with store.reading() as reader:
            proof = open_proof(reader, job_id)
        if proof is None:
            return
        ahead = _work_out(proof)
        with store.writing() as writer:
            job = hold_proof(writer, proof)
            if job is None:
                continue
            _write_down(writer, proof, ahead, is_cancelled=job.cancel_requested, ring=ring)
            return


def _work_out(proof: Proof) -> Advance | JobError:
    """Say what comes next; where that fails the diagnosis stands as it is, for it is complete without a proof."""
    try:
        document, baseline = proof.document, proof.baseline
    except UnreadableRecord as error:
        log.exception("baseline_unreadable", job_id=proof.job_id)
        return unreadable(error)
    # The dispatcher's process has this module too, and shall not carry scipy for the rare run that it ends itself.
    from gradclinic.trials import Advance, advance  # noqa: PLC0415 - see above

    try:
        return advance(document, baseline, _results(proof))
    except Exception as error:
        log.exception("proof_failed", job_id=proof.job_id)
        return Advance((), _unproven(baseline.diagnosis, error), 0)


def _write_down(
    writer: Writer, proof: Proof, ahead: Advance | JobError, *, is_cancelled: bool, ring: Callable[[str], None]
) -> None:
    """Let the job, which is held, go on or end."""
    job_id = proof.job_id
    if isinstance(ahead, JobError):
        fail_job(writer, job_id, ahead)
    elif not ahead.trials:
        finish_job(writer, job_id, ahead.diagnosis)
    elif is_cancelled:
        cancel_job(writer, job_id, ahead.diagnosis)
    else:
        continue_proof(writer, job_id, proof.document, ahead)
        for _ in ahead.trials:
            writer.after_commit(partial(ring, job_id))


def _unproven(diagnosis: Diagnosis, error: Exception) -> Diagnosis:
    """Return the baseline's diagnosis with a note why its fixes have no verdicts; an error's own words may tell secrets."""
    why = (
        str(error)
        if isinstance(error, UnreadableRecord)
        else f"An error in the service itself: {type(error).__name__}."
    )
    note = f"The fixes could not be proven. {why} The worker's log has it under the job's id."
    return diagnosis.model_copy(update={"notes": [*diagnosis.notes, note]})


def _results(proof: Proof) -> list[TrialResult]:
    """Return the results of all trials; one that could not be done counts as no better than a trivial predictor."""
    from gradclinic.trials import failed_result  # noqa: PLC0415 - likewise

    return [
        failed_result(came_of[0], proof.baseline, f"{came_of[1].title} {came_of[1].detail}")
        if isinstance(came_of, tuple)
        else came_of
        for came_of in proof.ended()
    ]
