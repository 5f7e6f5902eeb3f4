"""A worker's hold on a run, and the fence that refuses what a lost hold still writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, update

from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.errors import LeaseLost
from store.tables import jobs, runs
from store.transactions import Writer


@dataclass(frozen=True)
class Claim:
    """One attempt at a run: who holds this may write its history and results, as long as the lease is kept.

    `document` is the job's spec as posted. A trial has its own in `trial`, and the baseline's result that it is held against.
    """

    job_id: str
    run_id: str
    attempt: int
    document: dict[str, Any]
    trial: Trial | None = None
    baseline: TrialResult | None = None


def still_held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Return the condition under which the claim holds. After a sweep another attempt, or none, holds the run."""
    return (runs.c.id == claim.run_id, runs.c.attempt == claim.attempt, runs.c.status == "training")


def write_fenced(writer: Writer, claim: Claim, **of_job: Any) -> None:
    """Make sure of a claim, and write columns of the job in its name where it is the baseline's: a job shows that alone.

    Every write of an attempt goes through here first, in its own transaction: the update locks the run, so that no sweep
    comes between the check and what is written after it.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    if of_job and claim.trial is None:  # before the run: rows are locked in this order everywhere
        writer.connection.execute(update(jobs).where(jobs.c.id == claim.job_id).values(of_job))
    # An update that changes nothing checks and locks all the same.
    held = update(runs).where(*still_held(claim)).values(attempt=claim.attempt)
    if writer.connection.execute(held).rowcount != 1:
        raise lost(claim)


def lost(claim: Claim) -> LeaseLost:
    """Make the error of a claim that no longer holds."""
    return LeaseLost(
        f"Attempt {claim.attempt} no longer holds run {claim.run_id} of job {claim.job_id}: its lease ran out, or the run "
        "ended. Nothing was written; stop this training."
    )
