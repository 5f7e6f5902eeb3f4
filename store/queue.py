"""The queue that the table of runs is, baselines and trials alike: announcing, claiming, keeping and sweeping.

It sends no message itself (`bell.py`). A job's status follows its baseline's run until that has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, delete, exists, or_, select, update

from gradclinic.contract.job import JobError, RunStatus
from gradclinic.contract.trial import TrialResult
from store.claim import Claim, lost, still_held, write_fenced
from store.endings import end_cancelled, end_where_cancelled, note_trial_end
from store.ids import is_id
from store.status import hold_job, move_job, move_run
from store.stored import UnreadableRecord, read_document, read_stored
from store.tables import diagnoses, history_chunks, history_overviews, jobs, runs
from store.transactions import Reader, Writer
from store.trials import OF_TRIAL, trial_from, unreadable

__all__ = [
    "Claim",
    "Lapsed",
    "announce_due",
    "claim_next",
    "claim_run",
    "is_work_due",
    "record_progress",
    "release_run",
    "renew_lease",
    "sweep_expired",
]


@dataclass(frozen=True)
class Lapsed:
    """A run whose worker went silent, and what became of it."""

    run_id: str
    job_id: str
    is_trial: bool
    became: RunStatus


def is_work_due(reader: Reader, *, again_after: float) -> bool:
    """Tell whether `announce_due` or `sweep_expired` would find something, without taking SQLite's write lock."""
    now = reader.now()
    found = select(or_(exists(_due(now, again_after)), exists(_expired(now))))
    return bool(reader.connection.execute(found).scalar_one())


def announce_due(writer: Writer, *, limit: int, again_after: float) -> list[str]:
    """Mark the first queued runs as announced and return their ids, for messages to be sent after the commit.

    A run announced before is due again after `again_after` seconds: its message may be lost.
    """
    now = writer.now()
    due = _due(now, again_after).order_by(*_turn()).limit(limit).with_for_update(skip_locked=True)
    ids = list(writer.connection.execute(due).scalars())
    if ids:
        writer.connection.execute(update(runs).where(runs.c.id.in_(ids)).values(announced_at=now))
    return ids


def claim_next(writer: Writer, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take up the queued run whose turn it is, or return None where none waits: a message may come twice, or late.

    Whose turn it is is asked here and not of the broker, which knows the order of its messages alone: a job that is posted
    while others are verified gets its baseline before their next trials.

    One of which something cannot be read that this version needs ends as failed, for it would stand at the head for ever; None
    then, too.
    """
    tried: list[str] = []
    while True:
        turn = select(runs.c.id).where(runs.c.status == "queued", runs.c.id.not_in(tried)).order_by(*_turn()).limit(1)
        run_id = writer.connection.execute(turn).scalar_one_or_none()
        if run_id is None:
            return None
        with writer.connection.begin_nested() as attempt:
            try:
                claim = claim_run(writer, run_id, worker=worker, lease_seconds=lease_seconds)
            except UnreadableRecord as error:
                _give_up(writer, run_id, error)
                return None
            if claim is not None:
                return claim
            # Another took it in this moment. Its job is let go: who holds one and waits for the next may wait in a circle.
            attempt.rollback()
        tried.append(run_id)


def claim_run(writer: Writer, run_id: str, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take a queued run up, or return None where it is not to be had.

    What an earlier attempt left is deleted, so that every step stands once.

    Raises:
        UnreadableRecord: What it needs cannot be read. It is taken up by then, to be ended.
    """
    of_run = select(runs.c.job_id, runs.c.kind).where(runs.c.id == run_id, runs.c.job_id.is_not(None))
    found = writer.connection.execute(of_run).one_or_none() if is_id(run_id) else None
    if found is None or hold_job(writer, found.job_id) is None:
        return None
    until = writer.now() + timedelta(seconds=lease_seconds)
    fresh: dict[str, Any] = {
        "steps_done": 0,
        "outcome": None,
        "facts": None,
        "health": None,
        "error": None,
        "result": None,
    }
    holding: dict[str, Any] = {"attempt": runs.c.attempt + 1, "worker": worker[:200], "lease_until": until}
    if not move_run(writer, run_id, "training", **holding, **fresh):
        return None
    _follow(writer, found, "training", step=0, health=None)
    for table in (history_chunks, history_overviews, diagnoses):
        writer.connection.execute(delete(table).where(table.c.run_id == run_id))
    return _read_claim(writer, run_id)


def renew_lease(writer: Writer, claim: Claim, lease_seconds: float) -> bool:
    """Hold the run for longer; return whether its job was asked to stop.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    until = writer.now() + timedelta(seconds=lease_seconds)
    renewed = update(runs).where(*still_held(claim)).values(lease_until=until)
    if writer.connection.execute(renewed).rowcount != 1:
        raise lost(claim)
    asked = select(jobs.c.cancel_requested).where(jobs.c.id == claim.job_id)
    return bool(writer.connection.execute(asked).scalar_one())


def record_progress(writer: Writer, claim: Claim, step: int) -> None:
    """Say how many steps are done.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    write_fenced(writer, claim, step=step, version=jobs.c.version + 1)


def release_run(writer: Writer, claim: Claim) -> None:
    """Put the run back into the queue, to be announced at once: its worker shuts down and did not lose it.

    Where the job was asked to stop it ends instead.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    job = hold_job(writer, claim.job_id)
    if job is not None and job.cancel_requested:
        end_cancelled(writer, claim)
        return
    if not move_run(writer, claim.run_id, "queued", where=still_held(claim), announced_at=None):
        raise lost(claim)
    if claim.trial is None:
        move_job(writer, claim.job_id, "queued", step=0)


def sweep_expired(writer: Writer, *, max_attempts: int) -> list[Lapsed]:
    """Take runs back whose worker went silent, and return all that moved.

    They go back to the queue; those whose job was asked to stop end as cancelled, those that lost `max_attempts` workers as
    failed: a baseline's job with it, while of a trial's job the rest goes on, once its proof was looked at. An attempt that a
    worker handed back when it shut down is no loss.
    """
    now = writer.now()
    columns = (runs.c.id, runs.c.job_id, runs.c.kind, runs.c.attempt, runs.c.losses)
    # Not locked yet: the job comes first, and jobs in one order, for others sweep at the same time.
    query = _expired(now).with_only_columns(*columns).order_by(runs.c.job_id, runs.c.id)
    expired = writer.connection.execute(query).all()
    swept = (_take_back(writer, row, now, max_attempts) for row in expired)
    return [lapsed for lapsed in swept if lapsed is not None]


def _take_back(writer: Writer, row: Row[*tuple[Any, ...]], now: datetime, max_attempts: int) -> Lapsed | None:
    job = hold_job(writer, row.job_id)
    if job is None:
        return None
    losses = row.losses + 1
    to: RunStatus = "cancelled" if job.cancel_requested else "queued" if losses < max_attempts else "failed"
    error = _worker_lost(losses).model_dump_json() if to == "failed" else None
    values = {"announced_at": None} if to == "queued" else {"error": error}
    unchanged = (runs.c.attempt == row.attempt, runs.c.lease_until < now)
    if not move_run(writer, row.id, to, where=unchanged, losses=losses, **values):
        return None  # another sweep was faster, or its worker came back
    _follow(writer, row, to, **({"step": 0, "health": None} if to == "queued" else values))
    return Lapsed(row.id, row.job_id, row.kind == "trial", to)


def _give_up(writer: Writer, run_id: str, error: UnreadableRecord) -> None:
    """End a run that was taken up and of which something cannot be read. Its job is held."""
    run = writer.connection.execute(select(runs.c.job_id, runs.c.kind).where(runs.c.id == run_id)).one()
    words = unreadable(error).model_dump_json()
    move_run(writer, run_id, "failed", error=words)
    _follow(writer, run, "failed", error=words)


def _follow(writer: Writer, run: Row[*tuple[Any, ...]], to: RunStatus, **values: Any) -> None:
    """Let the job follow its run: to the same status where it is the baseline, else as far as its proof shows."""
    if run.kind == "baseline":
        move_job(writer, run.job_id, to, **values)
    elif to == "training":
        writer.connection.execute(update(jobs).where(jobs.c.id == run.job_id).values(version=jobs.c.version + 1))
    elif to == "failed":
        note_trial_end(writer, run.job_id)
    else:
        end_where_cancelled(writer, run.job_id)


def _read_claim(reader: Reader, run_id: str) -> Claim:
    columns = (runs.c.job_id, runs.c.kind, runs.c.attempt, *OF_TRIAL, jobs.c.document.label("posted"))
    query = select(*columns).join(jobs, jobs.c.id == runs.c.job_id)
    row = reader.connection.execute(query.where(runs.c.id == run_id)).one()
    posted = read_document(row.posted)
    if row.kind == "baseline":
        return Claim(row.job_id, run_id, row.attempt, posted)
    of_baseline = select(runs.c.result).where(runs.c.job_id == row.job_id, runs.c.kind == "baseline")
    baseline = read_stored(TrialResult, reader.connection.execute(of_baseline).scalar_one())
    return Claim(row.job_id, run_id, row.attempt, posted, trial_from(row, posted), baseline)


def _turn() -> tuple[ColumnElement[Any], ...]:
    """Order queued runs: baselines first, so that a diagnosis waits for no proof, and each in the order of their making."""
    return case((runs.c.kind == "baseline", 0), else_=1), runs.c.created_at, runs.c.id


def _due(now: datetime, again_after: float) -> Select[str]:
    before = now - timedelta(seconds=again_after)
    unheard = or_(runs.c.announced_at.is_(None), runs.c.announced_at < before)
    return select(runs.c.id).where(runs.c.status == "queued", unheard)


def _expired(now: datetime) -> Select[str]:
    return select(runs.c.id).where(runs.c.lease_until < now)  # nobody else's has one


def _worker_lost(losses: int) -> JobError:
    times = "once, and its" if losses == 1 else f"{losses} times, and each time its"
    return JobError(
        type="worker_lost",
        title="The worker was lost while it trained",
        detail=f"The training was taken up {times} worker died, hung, or could not reach the database for as long as a "
        "lease. When a process takes more memory than the machine has, the system kills it, and that looks just like "
        "this: try a smaller model or batch, or give the worker more memory. The worker's log tells more.",
    )
