"""Runs: finding and ending them. Their signals are kept by `histories.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, select

from gradclinic.contract.diagnosis import Health, Outcome
from gradclinic.contract.job import Run
from gradclinic.errors import NotFound
from store.claim import Claim, write_fenced
from store.ids import is_id
from store.status import move_run
from store.tables import jobs, runs
from store.transactions import Reader, Writer


def find_run(reader: Reader, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFound: There is none with that id.
    """
    row = reader.connection.execute(_runs().where(runs.c.id == run_id)).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    return _run_from(row)


def runs_of_job(reader: Reader, job_id: str) -> list[Run]:
    """Return a job's runs, in the order in which they were made: the baseline first.

    Raises:
        NotFound: There is no job with that id.
    """
    query = _runs().where(runs.c.job_id == job_id).order_by(runs.c.created_at, runs.c.id)
    rows = reader.connection.execute(query).all() if is_id(job_id) else []
    if not rows:  # a job without a run does not exist: they are made together
        raise NotFound("job", job_id)
    return [_run_from(row) for row in rows]


def baseline_of(reader: Reader, job_id: str) -> Run:
    """Return a job's baseline.

    Raises:
        NotFound: There is no job with that id.
    """
    query = _runs().where(runs.c.job_id == job_id, runs.c.kind == "baseline")
    row = reader.connection.execute(query).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("job", job_id)
    return _run_from(row)


def finish_run(writer: Writer, claim: Claim, outcome: Outcome, health: Health | None) -> None:
    """End the claim's run: its training is done, whatever came of it.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    write_fenced(writer, claim, health=health, version=jobs.c.version + 1)
    move_run(writer, claim.run_id, "succeeded", outcome=outcome.model_dump_json(), health=health)


def _runs() -> Select[Any]:
    return select(*(column for column in runs.c if column is not runs.c.facts))  # facts may be long, and no one asked


def _run_from(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        job_id=row.job_id,
        kind=row.kind,
        status=row.status,
        health=row.health,
        seed=row.seed,
        steps_done=row.steps_done,
        outcome=None if row.outcome is None else Outcome.model_validate_json(row.outcome),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
