"""Runs: finding and listing them. They end in `endings.py`; their signals are kept by `histories.py`, external ones by `external.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, and_, exists, func, or_, select

from gradclinic.contract.diagnosis import Outcome
from gradclinic.contract.job import JobError, Page, Run, RunKind, RunStatus
from gradclinic.errors import NotFound
from store.ids import is_id
from store.pages import rows_of_page
from store.stored import read_stored
from store.tables import external_chunks, jobs, runs
from store.tables import labels as job_labels
from store.texts import refuse_unstorable
from store.transactions import Reader


def find_run(reader: Reader, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFound: There is none with that id.
    """
    row = reader.connection.execute(_runs().where(runs.c.id == run_id)).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    return _runs_from(reader, [row])[0]


def list_runs(  # noqa: PLR0913 - the parameters of the HTTP list
    reader: Reader,
    *,
    kind: RunKind | None = None,
    status: RunStatus | None = None,
    labels: Mapping[str, str] | None = None,
    name: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Run]:
    """Return a page of runs, newest first; those of jobs bear their jobs' names and labels.

    Raises:
        InvalidSpec: The cursor is none of ours, or a filter holds a character that no database can.
    """
    wanted = labels or {}
    refuse_unstorable({"/name": [name or ""], "/label": [text for pair in wanted.items() for text in pair]})
    given = ((runs.c.kind, kind), (runs.c.status, status), (func.coalesce(runs.c.name, jobs.c.name), name))
    conditions: list[ColumnElement[bool]] = [column == value for column, value in given if value is not None]
    conditions += [_has_label(key, value) for key, value in wanted.items()]
    rows, more = rows_of_page(reader, runs, *conditions, cursor=cursor, limit=limit, query=_runs())
    return Page[Run](items=_runs_from(reader, rows), next_cursor=more)


def runs_of_job(reader: Reader, job_id: str) -> list[Run]:
    """Return a job's runs, in the order in which they were made: the baseline first.

    Raises:
        NotFound: There is no job with that id.
    """
    query = _runs().where(runs.c.job_id == job_id).order_by(runs.c.created_at, runs.c.id)
    rows = reader.connection.execute(query).all() if is_id(job_id) else []
    if not rows:  # a job without a run does not exist: they are made together
        raise NotFound("job", job_id)
    return _runs_from(reader, rows)


def baseline_of(reader: Reader, job_id: str) -> Run:
    """Return a job's baseline.

    Raises:
        NotFound: There is no job with that id.
    """
    query = _runs().where(runs.c.job_id == job_id, runs.c.kind == "baseline")
    row = reader.connection.execute(query).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("job", job_id)
    return _runs_from(reader, [row])[0]


def chunks_received(run_id: str | ColumnElement[str]) -> ScalarSelect[int]:
    """Ask how many chunks of an external run have come: they are numbered from 0, and none is left out."""
    # Not counted: the largest number is found by the index, however many they are.
    after_last = func.coalesce(func.max(external_chunks.c.number) + 1, 0)
    return select(after_last).where(external_chunks.c.run_id == run_id).scalar_subquery()


def _runs() -> Select[Any]:
    long = (runs.c.facts, runs.c.document, runs.c.result)  # and no one asked
    own = [column for column in runs.c if all(column is not left_out for left_out in long)]
    columns = (*own, jobs.c.name.label("job_name"), chunks_received(runs.c.id).label("chunks"))
    return select(*columns).select_from(runs.outerjoin(jobs, jobs.c.id == runs.c.job_id))


def _has_label(key: str, value: str) -> ColumnElement[bool]:
    of_job = exists().where(job_labels.c.job_id == runs.c.job_id, job_labels.c.key == key, job_labels.c.value == value)
    # The text as it was written: a quote inside a key or value is escaped there, so that nothing else looks like it. Not by
    # LIKE, which takes a small letter for a large one in SQLite.
    pair = json.dumps({key: value}, separators=(",", ":"))[1:-1]
    of_run = and_(runs.c.labels.is_not(None), func.replace(runs.c.labels, pair, "") != runs.c.labels)
    return or_(of_job.correlate(runs), of_run)


def _runs_from(reader: Reader, rows: Sequence[Row[Any]]) -> list[Run]:
    of_jobs: dict[str, dict[str, str]] = {}
    if job_ids := {row.job_id for row in rows if row.job_id is not None}:
        query = select(job_labels).where(job_labels.c.job_id.in_(job_ids)).order_by(job_labels.c.key)
        for label in reader.connection.execute(query):
            of_jobs.setdefault(label.job_id, {})[label.key] = label.value
    return [_run_from(row, of_jobs.get(row.job_id, {})) for row in rows]


def _run_from(row: Row[Any], labels_of_job: dict[str, str]) -> Run:
    return Run(
        id=row.id,
        job_id=row.job_id,
        kind=row.kind,
        status=row.status,
        health=row.health,
        name=row.job_name if row.name is None else row.name,
        labels=labels_of_job if row.labels is None else json.loads(row.labels),
        seed=row.seed,
        fix=row.fix_id,
        round=row.round,
        steps_done=row.steps_done,
        chunks=row.chunks if row.kind == "external" else None,
        outcome=None if row.outcome is None else read_stored(Outcome, row.outcome),
        error=None if row.error is None else read_stored(JobError, row.error),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
