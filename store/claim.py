"""A worker's hold on a job, and the fence that refuses what a lost hold still writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, update

from gradclinic.errors import LeaseLost
from store.status import HELD
from store.tables import jobs
from store.transactions import Writer


@dataclass(frozen=True)
class Claim:
    """One attempt at a job: who holds this may write the job's history and results, as long as the lease is kept."""

    job_id: str
    run_id: str
    attempt: int
    document: dict[str, Any]


def still_held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Return the condition under which the claim holds. After a sweep another attempt, or none, holds the job."""
    return (jobs.c.id == claim.job_id, jobs.c.attempt == claim.attempt, jobs.c.status.in_(HELD))


def write_fenced(writer: Writer, claim: Claim, **values: Any) -> bool:
    """Write columns of the job in the name of a claim; return whether the job was asked to stop.

    Every write of an attempt goes through here first, in its own transaction: the update locks the row, so that no sweep
    comes between the check and what is written after it.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    values = values or {"attempt": claim.attempt}  # an update that changes nothing checks and locks all the same
    statement = update(jobs).where(*still_held(claim)).values(**values).returning(jobs.c.cancel_requested)
    row = writer.connection.execute(statement).one_or_none()
    if row is None:
        raise lost(claim)
    return bool(row.cancel_requested)


def lost(claim: Claim) -> LeaseLost:
    """Make the error of a claim that no longer holds."""
    return LeaseLost(
        f"Attempt {claim.attempt} no longer holds job {claim.job_id}: its lease ran out, or the job ended. Nothing was "
        "written; stop this training."
    )
