"""Trials: the runs that prove a job's fixes, added stage by stage, and read back as a proof. Judging is `gradclinic.trials`' business."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, exists, insert, select, update

from gradclinic.contract.job import JobError
from gradclinic.contract.trial import Trial, TrialResult
from store.ids import new_id
from store.status import hold_job
from store.tables import jobs, runs
from store.transactions import Reader, Writer

OUTSTANDING = ("queued", "training")
"""The statuses of a run that has not ended."""


@dataclass(frozen=True)
class Proof:
    """A job whose next stage can be worked out: its spec, its baseline's result, and what became of every trial.

    A trial that could not be done has the error instead of a result.
    """

    document: dict[str, Any]
    baseline: TrialResult
    ended: tuple[tuple[Trial, TrialResult | JobError], ...]
    cancel_requested: bool


def open_proof(writer: Writer, job_id: str) -> Proof | None:
    """Hold a job whose baseline is trained, and return its proof; None while a trial is outstanding, or where there is none."""
    job = hold_job(writer, job_id)
    if job is None or job.status not in ("training", "verifying") or has_outstanding(writer, job_id):
        return None
    posted = json.loads(writer.connection.execute(select(jobs.c.document).where(jobs.c.id == job_id)).scalar_one())
    query = select(runs).where(runs.c.job_id == job_id).order_by(runs.c.created_at, runs.c.id)
    rows = writer.connection.execute(query).all()
    baseline = next((row.result for row in rows if row.kind == "baseline"), None)
    if baseline is None:
        return None
    # One that was cancelled has shown nothing.
    ended = [row for row in rows if row.kind == "trial" and row.status in ("succeeded", "failed")]
    came_of = tuple((trial_from(row, posted), _came_of(row)) for row in ended)
    return Proof(posted, TrialResult.model_validate_json(baseline), came_of, job.cancel_requested)


def has_outstanding(reader: Reader, job_id: str) -> bool:
    """Tell whether a run of the job is queued or trained."""
    found = exists().where(runs.c.job_id == job_id, runs.c.status.in_(OUTSTANDING))
    return bool(reader.connection.execute(select(found)).scalar_one())


def add_trials(writer: Writer, job_id: str, posted: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Add queued runs for a stage of trials, in their order; the spec as posted is not kept again for each control."""
    now = writer.now()
    rows = [
        {
            "id": new_id(),
            "job_id": job_id,
            "kind": "trial",
            "status": "queued",
            "seed": trial.seed,
            "fix_id": trial.fix,
            "round": trial.round,
            "document": None if trial.document == posted else _json(trial.document),
            "steps_done": 0,
            "created_at": now + timedelta(microseconds=place),  # ids of one millisecond are in no order
        }
        for place, trial in enumerate(trials)
    ]
    writer.connection.execute(insert(runs), rows)


def cancel_queued_trials(writer: Writer, job_id: str) -> None:
    """End the trials of a job that nobody took up. The job is held."""
    queued = update(runs).where(runs.c.job_id == job_id, runs.c.kind == "trial", runs.c.status == "queued")
    writer.connection.execute(queued.values(status="cancelled", finished_at=writer.now()))


def trial_from(row: Row[Any], posted: Mapping[str, Any]) -> Trial:
    """Return what a run of this kind is to train."""
    document = dict(posted) if row.document is None else json.loads(row.document)
    return Trial(round=row.round, fix=row.fix_id, seed=row.seed, document=document)


def _came_of(row: Row[Any]) -> TrialResult | JobError:
    if row.result is not None:
        return TrialResult.model_validate_json(row.result)
    if row.error is not None:
        return JobError.model_validate_json(row.error)
    return JobError(
        type=row.status, title=f"The training ended as {row.status}.", detail="Nothing more is known of it."
    )


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
