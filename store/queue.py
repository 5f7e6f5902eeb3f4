"""The queue that the job table is: announcing, claiming, keeping and sweeping. It sends no message itself (`bell.py`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, or_, select, update

from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import JobError, JobStatus
from store.claim import Claim, lost, still_held, write_fenced
from store.ids import is_id
from store.status import HELD, move_job
from store.tables import diagnoses, history_chunks, history_overviews, jobs, runs
from store.transactions import Reader, Writer

__all__ = [
    "Claim",
    "announce_due",
    "claim_job",
    "end_cancelled",
    "fail_job",
    "finish_job",
    "is_work_due",
    "record_progress",
    "release_job",
    "renew_lease",
    "sweep_expired",
]


def is_work_due(reader: Reader, *, again_after: float) -> bool:
    """Tell whether `announce_due` or `sweep_expired` would find something, without taking SQLite's write lock."""
    now = reader.now()
    found = select(or_(exists(_due(now, again_after)), exists(_expired(now))))
    return bool(reader.connection.execute(found).scalar_one())


def announce_due(writer: Writer, *, limit: int, again_after: float) -> list[str]:
    """Mark the oldest queued jobs as announced and return their ids, for messages to be sent after the commit.

    A job announced before is due again after `again_after` seconds: its message may be lost.
    """
    now = writer.now()
    due = _due(now, again_after).order_by(jobs.c.created_at, jobs.c.id).limit(limit).with_for_update(skip_locked=True)
    ids = list(writer.connection.execute(due).scalars())
    if ids:
        writer.connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(announced_at=now))
    return ids


def claim_job(writer: Writer, job_id: str, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take a queued job up, or return None where there is nothing to take: a message may come twice, or late.

    What an earlier attempt left is deleted, so that every step stands once.
    """
    if not is_id(job_id):
        return None
    taken = move_job(
        writer,
        job_id,
        "training",
        attempt=jobs.c.attempt + 1,
        worker=worker[:200],
        lease_until=writer.now() + timedelta(seconds=lease_seconds),
        step=0,
        health=None,
        run={"steps_done": 0, "outcome": None, "facts": None, "health": None},
    )
    if not taken:
        return None
    columns = (jobs.c.attempt, jobs.c.document, runs.c.id.label("run_id"))
    query = select(*columns).join(runs, runs.c.job_id == jobs.c.id)
    row = writer.connection.execute(query.where(jobs.c.id == job_id, runs.c.kind == "baseline")).one()
    for table in (history_chunks, history_overviews, diagnoses):
        writer.connection.execute(delete(table).where(table.c.run_id == row.run_id))
    return Claim(job_id, row.run_id, row.attempt, json.loads(row.document))


def renew_lease(writer: Writer, claim: Claim, lease_seconds: float) -> bool:
    """Hold the job for longer; return whether it was asked to stop.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    return write_fenced(writer, claim, lease_until=writer.now() + timedelta(seconds=lease_seconds))


def record_progress(writer: Writer, claim: Claim, step: int) -> None:
    """Say how many steps are done.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    write_fenced(writer, claim, step=step, version=jobs.c.version + 1)


def finish_job(writer: Writer, claim: Claim, *, health: Health | None) -> None:
    """End the job: its analysis is complete.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    _leave(writer, claim, "succeeded", run={"health": health}, health=health)


def fail_job(writer: Writer, claim: Claim, error: JobError) -> None:
    """End the job: its analysis could not be done.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    _leave(writer, claim, "failed", error=error.model_dump_json())


def end_cancelled(writer: Writer, claim: Claim) -> None:
    """End the job as its user asked.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    _leave(writer, claim, "cancelled")


def release_job(writer: Writer, claim: Claim) -> None:
    """Put the job back into the queue, to be announced at once: its worker shuts down and did not lose it.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    _leave(writer, claim, "queued", announced_at=None, step=0)


def sweep_expired(writer: Writer, *, max_attempts: int) -> list[str]:
    """Take jobs back whose worker went silent, and return the ids of all that moved.

    They go back to the queue; those that were asked to stop end as cancelled, those that lost `max_attempts` workers as
    failed. An attempt that a worker handed back when it shut down is no loss.
    """
    now = writer.now()
    columns = (jobs.c.id, jobs.c.attempt, jobs.c.losses, jobs.c.status, jobs.c.cancel_requested)
    expired = _expired(now).with_only_columns(*columns).with_for_update(skip_locked=True)
    moved = []
    for row in writer.connection.execute(expired).all():
        losses = row.losses + 1
        to, values = _after_loss(row.status, losses, row.cancel_requested, max_attempts)
        unchanged = (jobs.c.attempt == row.attempt, jobs.c.lease_until < now)
        if move_job(writer, row.id, to, where=unchanged, losses=losses, **values):
            moved.append(row.id)
    return moved


def _due(now: datetime, again_after: float) -> Select[str]:
    before = now - timedelta(seconds=again_after)
    unheard = or_(jobs.c.announced_at.is_(None), jobs.c.announced_at < before)
    return select(jobs.c.id).where(jobs.c.status == "queued", unheard)


def _expired(now: datetime) -> Select[str]:
    return select(jobs.c.id).where(jobs.c.status.in_(HELD), jobs.c.lease_until < now)


def _after_loss(status: JobStatus, losses: int, cancelled: bool, most: int) -> tuple[JobStatus, dict[str, Any]]:
    if cancelled:
        return "cancelled", {}
    if losses < most and status == "training":
        return "queued", {"announced_at": None, "step": 0, "health": None}
    times = "once, and its" if losses == 1 else f"{losses} times, and each time its"
    error = JobError(
        type="worker_lost",
        title="The worker was lost while it trained",
        detail=f"The training was taken up {times} worker died, hung, or could not reach the database for as long as a "
        "lease. When a process takes more memory than the machine has, the system kills it, and that looks just like "
        "this: try a smaller model or batch, or give the worker more memory. The worker's log tells more.",
    )
    return "failed", {"error": error.model_dump_json()}


def _leave(writer: Writer, claim: Claim, to: JobStatus, **values: Any) -> None:
    fence: Sequence[ColumnElement[bool]] = still_held(claim)
    if not move_job(writer, claim.job_id, to, where=fence, **values):
        raise lost(claim)
