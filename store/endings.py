"""How runs end, and jobs with them: finished, failed, cancelled. Whether a proof goes on is worked out by the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import JobError
from gradclinic.contract.trial import TrialResult
from gradclinic.history import RunFacts
from store.claim import Claim, lost, still_held
from store.diagnoses import save_diagnosis, write_diagnosis
from store.histories import save_facts
from store.records import keep_verdicts
from store.runs import baseline_of
from store.status import hold_job, move_job, move_run
from store.tables import jobs
from store.transactions import Writer
from store.trials import add_trials, has_outstanding

if TYPE_CHECKING:
    from gradclinic.trials import Advance  # brings scipy, which storing needs not


def finish_run(
    writer: Writer, claim: Claim, *, facts: RunFacts, diagnosis: Diagnosis, result: TrialResult | None = None
) -> None:
    """End the claim's run: it is trained and diagnosed, whatever came of it. Its job goes on.

    Args:
        writer: The transaction.
        claim: Whose run it is.
        facts: What is known of it beside its signals, its outcome among that.
        diagnosis: What was found.
        result: What verdicts need of it.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    hold_job(writer, claim.job_id)
    save_facts(writer, claim, facts)
    save_diagnosis(writer, claim, diagnosis)
    known = None if facts.outcome is None else facts.outcome.model_dump_json()
    judged = None if result is None else result.model_dump_json()
    of_run = {"outcome": known, "health": diagnosis.health, "result": judged}
    if not move_run(writer, claim.run_id, "succeeded", where=still_held(claim), **of_run):
        raise lost(claim)
    if claim.trial is not None:
        note_trial_end(writer, claim.job_id)


def fail_run(writer: Writer, claim: Claim, error: JobError) -> None:
    """End the claim's run: it could not be done. A baseline's job ends with it, of a trial's the rest goes on.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    hold_job(writer, claim.job_id)
    words = error.model_dump_json()
    if not move_run(writer, claim.run_id, "failed", where=still_held(claim), error=words):
        raise lost(claim)
    if claim.trial is None:
        move_job(writer, claim.job_id, "failed", error=words)
    else:
        note_trial_end(writer, claim.job_id)


def end_cancelled(writer: Writer, claim: Claim) -> None:
    """End the claim's run as its user asked, and the job with the last one that was at work.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    hold_job(writer, claim.job_id)
    if not move_run(writer, claim.run_id, "cancelled", where=still_held(claim)):
        raise lost(claim)
    if claim.trial is None:
        move_job(writer, claim.job_id, "cancelled")
    else:
        end_where_cancelled(writer, claim.job_id)


def continue_proof(writer: Writer, job_id: str, posted: Mapping[str, Any], ahead: Advance) -> None:
    """Add the next stage of a job's trials, and show the verdicts so far. The job is held."""
    write_diagnosis(writer, baseline_of(writer, job_id).id, ahead.diagnosis)
    add_trials(writer, job_id, posted, ahead.trials)
    if not move_job(writer, job_id, "verifying", trials_planned=ahead.planned):
        of_job = {"trials_planned": ahead.planned, "version": jobs.c.version + 1}
        writer.connection.execute(update(jobs).where(jobs.c.id == job_id).values(of_job))


def finish_job(writer: Writer, job_id: str, diagnosis: Diagnosis) -> None:
    """End a job whose runs have ended: its analysis is complete."""
    write_diagnosis(writer, baseline_of(writer, job_id).id, diagnosis)
    if move_job(writer, job_id, "succeeded", trials_planned=jobs.c.trials):
        keep_verdicts(writer, job_id, diagnosis)


def cancel_job(writer: Writer, job_id: str, diagnosis: Diagnosis) -> None:
    """End a job that was asked to stop and has no run at work, with what its proof has shown until then."""
    write_diagnosis(writer, baseline_of(writer, job_id).id, diagnosis)
    move_job(writer, job_id, "cancelled")


def fail_job(writer: Writer, job_id: str, error: JobError) -> None:
    """End a job whose runs have ended: its analysis could not be completed."""
    move_job(writer, job_id, "failed", error=error.model_dump_json())


def note_trial_end(writer: Writer, job_id: str) -> None:
    """Count a trial that has ended. The job is held."""
    counted = {"trials": jobs.c.trials + 1, "version": jobs.c.version + 1}
    writer.connection.execute(update(jobs).where(jobs.c.id == job_id).values(counted))


def end_where_cancelled(writer: Writer, job_id: str) -> None:
    """End a job that was asked to stop while its fixes were proven, once none of its runs is at work. The job is held."""
    asked = (jobs.c.cancel_requested.is_(True), jobs.c.status == "verifying")
    if not has_outstanding(writer, job_id):
        move_job(writer, job_id, "cancelled", where=asked)
