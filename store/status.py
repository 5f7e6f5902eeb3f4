"""The one place through which the status of a job or run moves, along the allowed paths alone.

Whoever moves both holds the job first and moves the run then: two transactions that lock rows in one order never wait for
each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, select, update

from gradclinic.contract.job import JobStatus, RunStatus
from store.tables import jobs, runs
from store.transactions import Writer

StatusT = TypeVar("StatusT", bound=str)

JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"training", "cancelled"}),
    # Back to `queued` when the worker is lost.
    "training": frozenset({"queued", "verifying", "succeeded", "failed", "cancelled"}),
    "verifying": frozenset({"succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    "queued": frozenset({"training", "cancelled"}),
    # Back to `queued` when the worker is lost, or hands it back.
    "training": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


def hold_job(writer: Writer, job_id: str) -> Row[str, bool] | None:
    """Lock a job until this transaction ends; return its `status` and `cancel_requested`, or None where there is none."""
    query = select(jobs.c.status, jobs.c.cancel_requested).where(jobs.c.id == job_id)
    # Weaker than FOR UPDATE, so that adding a run, whose key points here, waits for nobody.
    return writer.connection.execute(query.with_for_update(key_share=True)).one_or_none()


def move_job(
    writer: Writer, job_id: str, to: JobStatus, *, where: Sequence[ColumnElement[bool]] = (), **values: Any
) -> bool:
    """Move a job, if the path is allowed and `where` holds; say whether it did. `values` are further columns."""
    moved = writer.connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status.in_(_sources(JOB_MOVES, to)), *where)
        .values(status=to, version=jobs.c.version + 1, **_times(to, writer.now()), **_begun_anew(to), **values)
    )
    return moved.rowcount == 1


def move_run(
    writer: Writer, run_id: str, to: RunStatus, *, where: Sequence[ColumnElement[bool]] = (), **values: Any
) -> bool:
    """Move a run, if the path is allowed and `where` holds; say whether it did. `values` are further columns."""
    moved = writer.connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.status.in_(_sources(RUN_MOVES, to)), *where)
        .values(status=to, **_times(to, writer.now()), **_lease(to), **values)
    )
    return moved.rowcount == 1


def _sources(moves: Mapping[StatusT, frozenset[StatusT]], to: StatusT) -> list[StatusT]:
    return [status for status, targets in moves.items() if to in targets]


def _times(to: str, now: datetime) -> dict[str, Any]:
    match to:
        case "queued":
            return {"started_at": None, "finished_at": None}
        case "training":
            return {"started_at": now, "finished_at": None}
        case "verifying":
            return {}
        case _:
            return {"finished_at": now}


def _begun_anew(to: JobStatus) -> dict[str, Any]:
    return {"early_findings": None} if to in {"queued", "training"} else {}


def _lease(to: RunStatus) -> dict[str, Any]:
    return {} if to == "training" else {"lease_until": None, "worker": None}
