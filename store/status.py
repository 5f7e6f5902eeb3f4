"""The one place through which the status of a job or run moves, along the allowed paths alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, update

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
    "training": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    # A worker lost between the training and its diagnosis: the job goes back to the queue, and the run with it.
    "succeeded": frozenset({"queued"}),
    "failed": frozenset(),
    "cancelled": frozenset(),
}

HELD: tuple[JobStatus, ...] = ("training", "verifying")
"""The statuses in which a worker holds the job."""

_BASELINE_FOLLOWS: Mapping[JobStatus, RunStatus] = {
    "queued": "queued",
    "training": "training",
    "verifying": "succeeded",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


def move_job(
    writer: Writer,
    job_id: str,
    to: JobStatus,
    *,
    where: Sequence[ColumnElement[bool]] = (),
    run: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Move a job and its baseline run, if the path is allowed and `where` holds; say whether it did.

    `values` are further columns of the job, `run` of its run.
    """
    now = writer.now()
    moved = writer.connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status.in_(_sources(JOB_MOVES, to)), *where)
        .values(status=to, version=jobs.c.version + 1, **_times(to, now), **_lease(to), **values)
    )
    if moved.rowcount != 1:
        return False
    follow = _BASELINE_FOLLOWS[to]
    writer.connection.execute(
        update(runs)
        .where(runs.c.job_id == job_id, runs.c.kind == "baseline", runs.c.status.in_(_sources(RUN_MOVES, follow)))
        .values(status=follow, **_times(follow, now), **(run or {}))
    )
    return True


def move_run(writer: Writer, run_id: str, to: RunStatus, **values: Any) -> bool:
    """Move a run alone, if the path is allowed; say whether it did. `values` are further columns."""
    moved = writer.connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.status.in_(_sources(RUN_MOVES, to)))
        .values(status=to, **_times(to, writer.now()), **values)
    )
    return moved.rowcount == 1


def _sources(moves: Mapping[StatusT, frozenset[StatusT]], to: StatusT) -> list[StatusT]:
    return [status for status, targets in moves.items() if to in targets]


def _times(to: str, now: Any) -> dict[str, Any]:
    match to:
        case "queued":
            return {"started_at": None, "finished_at": None}
        case "training":
            return {"started_at": now, "finished_at": None}
        case "verifying":
            return {}
        case _:
            return {"finished_at": now}


def _lease(to: JobStatus) -> dict[str, Any]:
    return {} if to in HELD else {"lease_until": None, "worker": None}
