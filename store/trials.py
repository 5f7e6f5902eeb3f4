"""Trials: the runs that prove a job's fixes, added stage by stage, and read back as a proof. Judging is `gradclinic.trials`' business."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row, exists, insert, or_, select, update

from gradclinic.contract.job import JobError
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.errors import InvalidSpec
from store.ids import new_id
from store.status import hold_job
from store.stored import UnreadableRecord, read_document, read_stored
from store.tables import jobs, runs
from store.transactions import Reader, Writer

OUTSTANDING = ("queued", "training")
"""The statuses of a run that has not ended."""

PROVEN_IN = ("training", "verifying")
"""The statuses of a job whose fixes can be proven: the first until its baseline's end was looked at."""


OF_TRIAL = (runs.c.seed, runs.c.round, runs.c.fix_id, runs.c.document)
"""The columns that tell what a trial is to train."""


@dataclass(frozen=True)
class Proof:
    """A job whose next stage can be worked out, as it is stored: its spec, its baseline's result, and what became of every trial.

    Each part is read when it is asked for, and may be unreadable (`UnreadableRecord`): another version stored it.
    """

    job_id: str
    posted: str
    runs: tuple[Row[*tuple[Any, ...]], ...]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The job's spec."""
        posted: dict[str, Any] = read_document(self.posted)
        return posted

    @cached_property
    def baseline(self) -> TrialResult:
        """How it came out."""
        return read_stored(TrialResult, next(run.result for run in self.runs if run.kind == "baseline"))

    def ended(self) -> Iterator[TrialResult | tuple[Trial, JobError]]:
        """Yield what became of the trials: a result, or of one that could not be done what it was and why."""
        for run in self.runs:
            if run.kind != "trial" or run.status not in ("succeeded", "failed"):  # a cancelled one has shown nothing
                continue
            if run.result is not None:
                yield read_stored(TrialResult, run.result)
            else:
                yield trial_from(run, self.document), _error_of(run)


def open_proof(reader: Reader, job_id: str) -> Proof | None:
    """Return the proof of a job whose baseline is trained; None while a trial is outstanding, or where there is none."""
    query = select(jobs.c.document).where(jobs.c.id == job_id, jobs.c.status.in_(PROVEN_IN))
    posted = reader.connection.execute(query).scalar_one_or_none()
    if posted is None or has_outstanding(reader, job_id):
        return None
    columns = (runs.c.id, runs.c.kind, runs.c.status, *OF_TRIAL, runs.c.result, runs.c.error)
    of_job = select(*columns).where(runs.c.job_id == job_id).order_by(runs.c.created_at, runs.c.id)
    rows = reader.connection.execute(of_job).all()
    if not any(row.kind == "baseline" and row.result is not None for row in rows):
        return None
    return Proof(job_id, posted, tuple(rows))


def hold_proof(writer: Writer, proof: Proof) -> Row[str, bool] | None:
    """Hold the job of a proof that was opened before; None where another has gone on with it since."""
    job = hold_job(writer, proof.job_id)
    if job is None or job.status not in PROVEN_IN or has_outstanding(writer, proof.job_id):
        return None
    # Runs that have ended stay as they are: whoever went on added some, or ended the job.
    now = writer.connection.execute(select(runs.c.id).where(runs.c.job_id == proof.job_id)).scalars()
    return job if set(now) == {run.id for run in proof.runs} else None


def left_alone(reader: Reader, *, idle_seconds: float) -> list[str]:
    """Return the jobs that wait for nothing and go on no more: the worker died between a run's end and what follows from it."""
    before = reader.now() - timedelta(seconds=idle_seconds)
    awaited = or_(runs.c.status.in_(OUTSTANDING), runs.c.finished_at >= before)
    has_result = exists().where(runs.c.job_id == jobs.c.id, runs.c.kind == "baseline", runs.c.result.is_not(None))
    waits = exists().where(runs.c.job_id == jobs.c.id, awaited)
    query = select(jobs.c.id).where(jobs.c.status.in_(PROVEN_IN), has_result, ~waits).order_by(jobs.c.created_at)
    return list(reader.connection.execute(query).scalars())


def has_outstanding(reader: Reader, job_id: str) -> bool:
    """Tell whether a run of the job is queued or trained."""
    found = exists().where(runs.c.job_id == job_id, runs.c.status.in_(OUTSTANDING))
    return bool(reader.connection.execute(select(found)).scalar_one())


def add_trials(writer: Writer, job_id: str, posted: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Add queued runs for a stage of trials, in their order."""
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
            "document": _kept(trial, posted),
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


def trial_from(row: Row[*tuple[Any, ...]], posted: Mapping[str, Any]) -> Trial:
    """Return what a run of this kind is to train, from its `OF_TRIAL`.

    Raises:
        UnreadableRecord: What is stored of it is no change of the posted spec.
    """
    # Whoever only serves, and the dispatcher, have no trial to rebuild.
    from gradclinic.fixes.patch import patched  # noqa: PLC0415 - see above

    kept = None if row.document is None else read_document(row.document)
    patch = kept if isinstance(kept, list) else []
    try:
        document = kept if isinstance(kept, dict) else patched(posted, patch)
        return Trial(round=row.round, fix=row.fix_id, seed=row.seed, patch=patch, document=document)
    except (InvalidSpec, ValidationError) as error:
        raise UnreadableRecord("A stored Trial does not fit the job's spec.") from error


def unreadable(error: UnreadableRecord) -> JobError:
    """Return why a run or a job ends of which something cannot be read."""
    return JobError(
        type="unreadable_record",
        title="What is stored of it cannot be read.",
        detail=f"{error} Another version stored it: let all workers and the service be of one, and post the job again.",
    )


def _kept(trial: Trial, posted: Mapping[str, Any]) -> str | None:
    """Return what is stored of a trial's spec: its changes alone, for inline data make a spec long, and nothing of a control."""
    if trial.patch:
        return _json(trial.patch)
    return None if trial.document == posted else _json(trial.document)


def _error_of(row: Row[*tuple[Any, ...]]) -> JobError:
    if row.error is not None:
        return read_stored(JobError, row.error)
    return JobError(
        type=row.status, title=f"The training ended as {row.status}.", detail="Nothing more is known of it."
    )


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
