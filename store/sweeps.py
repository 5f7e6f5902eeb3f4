"""Sweeps: adding, finding, listing, cancelling, deleting. Which combinations there are is the contract's business."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, delete, exists, func, insert, select

from gradclinic.contract.combinations import base_of, best_of, compared_by, values_of
from gradclinic.contract.diagnosis import Outcome
from gradclinic.contract.job import LIVE, JobStatus, Page
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.sweep import Sweep, SweepRow, SweepSummary
from gradclinic.errors import JobIsLive, NotFound
from store.ids import is_id, new_id
from store.jobs import add_job, request_cancel
from store.pages import rows_of_page
from store.stored import read_stored
from store.tables import diagnoses, jobs, runs, sweeps
from store.transactions import Reader, Writer


@dataclass(frozen=True)
class NewJob:
    """A job of a sweep to be added: the spec of a combination, as it stands and parsed, and the steps it comes to."""

    document: dict[str, Any]
    spec: JobSpec
    steps: int


def add_sweep(writer: Writer, *, document: dict[str, Any], combinations: Sequence[NewJob]) -> Sweep:
    """Add a sweep and a queued job for each combination, in the order of the product of its values.

    `document` is the spec with its sweep as posted.
    """
    sweep_id, name = new_id(), combinations[0].spec.name
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    writer.connection.execute(insert(sweeps).values(id=sweep_id, name=name, created_at=writer.now(), document=text))
    for number, job in enumerate(combinations):
        add_job(writer, document=job.document, spec=job.spec, steps=job.steps, sweep=sweep_id, number=number)
    return find_sweep(writer, sweep_id)


def find_sweep(reader: Reader, sweep_id: str) -> Sweep:
    """Return a sweep with its table, in the order of the product.

    Raises:
        NotFound: There is none with that id.
    """
    row = _sweep_row(reader, sweep_id)
    summary = _summaries_from(reader, [row])[0]
    rows = _rows_of(reader, sweep_id, summary.sweep)
    by = compared_by(summary.sweep, rows)
    return Sweep(
        **dict(summary),
        spec=base_of(json.loads(row.document)),
        compared_by=by,
        best=best_of(rows, by),
        rows=rows,
    )


def find_summary(reader: Reader, sweep_id: str) -> SweepSummary:
    """Return a sweep without its table.

    Raises:
        NotFound: There is none with that id.
    """
    return _summaries_from(reader, [_sweep_row(reader, sweep_id)])[0]


def list_sweeps(reader: Reader, *, cursor: str | None = None, limit: int = 50) -> Page[SweepSummary]:
    """Return a page of sweeps, newest first. Sweeps added while someone turns the pages neither shift nor repeat any.

    Raises:
        InvalidSpec: The cursor is none of ours.
    """
    rows, more = rows_of_page(reader, sweeps, cursor=cursor, limit=limit)
    return Page[SweepSummary](items=_summaries_from(reader, rows), next_cursor=more)


def job_ids_of(reader: Reader, sweep_id: str) -> list[str]:
    """Return the ids of a sweep's jobs, in the order of the product."""
    query = select(jobs.c.id).where(jobs.c.sweep_id == sweep_id).order_by(jobs.c.sweep_number)
    return list(reader.connection.execute(query).scalars())


def request_cancel_all(writer: Writer, sweep_id: str) -> Sweep:
    """Ask all of a sweep's jobs to stop; those that have ended stay as they are.

    Raises:
        NotFound: There is no sweep with that id.
    """
    _sweep_row(writer, sweep_id)
    for job_id in sorted(job_ids_of(writer, sweep_id)):  # held one after the other: by all in the same order
        request_cancel(writer, job_id)
    return find_sweep(writer, sweep_id)


def delete_sweep(writer: Writer, sweep_id: str) -> None:
    """Delete an ended sweep with its jobs and all that belongs to them.

    Raises:
        NotFound: There is none with that id.
        JobIsLive: One of its jobs has not ended.
    """
    _sweep_row(writer, sweep_id)
    writer.connection.execute(delete(jobs).where(jobs.c.sweep_id == sweep_id, jobs.c.status.not_in(LIVE)))
    # What was deleted just now comes back with the error: the transaction is rolled back.
    if writer.connection.execute(select(exists().where(jobs.c.sweep_id == sweep_id))).scalar_one():
        raise JobIsLive(
            f"Jobs of sweep {sweep_id} are live, and a live job cannot be deleted. Cancel it first, and wait."
        )
    writer.connection.execute(delete(sweeps).where(sweeps.c.id == sweep_id))


def _sweep_row(reader: Reader, sweep_id: str) -> Row[Any]:
    query = select(sweeps).where(sweeps.c.id == sweep_id)
    row = reader.connection.execute(query).one_or_none() if is_id(sweep_id) else None
    if row is None:
        raise NotFound("sweep", sweep_id)
    return row


def _summaries_from(reader: Reader, rows: Sequence[Row[Any]]) -> list[SweepSummary]:
    counts: dict[str, dict[JobStatus, int]] = {row.id: {} for row in rows}
    query = select(jobs.c.sweep_id, jobs.c.status, func.count()).where(jobs.c.sweep_id.in_(counts))
    if counts:
        for sweep_id, status, count in reader.connection.execute(query.group_by(jobs.c.sweep_id, jobs.c.status)):
            counts[sweep_id][status] = count
    return [
        SweepSummary(
            id=row.id,
            name=row.name,
            status="live" if LIVE & counts[row.id].keys() else "ended",
            jobs=counts[row.id],
            sweep=json.loads(row.document)["sweep"],
            created_at=row.created_at,
        )
        for row in rows
    ]


def _rows_of(reader: Reader, sweep_id: str, axes: Mapping[str, Sequence[Any]]) -> list[SweepRow]:
    known = {row.sweep_number: row for row in reader.connection.execute(_jobs_of(sweep_id))}
    return [_row_from(number, values, known.get(number)) for number, values in enumerate(values_of(axes))]


def _jobs_of(sweep_id: str) -> Select[Any]:
    columns = (jobs.c.id, jobs.c.sweep_number, jobs.c.status, jobs.c.health, runs.c.outcome, diagnoses.c.document)
    baseline = and_(runs.c.job_id == jobs.c.id, runs.c.kind == "baseline")
    joined = jobs.join(runs, baseline).outerjoin(diagnoses, diagnoses.c.run_id == runs.c.id)
    return select(*columns).select_from(joined).where(jobs.c.sweep_id == sweep_id)


def _row_from(number: int, values: dict[str, Any], row: Row[Any] | None) -> SweepRow:
    if row is None:  # its job was deleted
        return SweepRow(number=number, values=values, job=None, status=None, health=None, outcome=None, findings=[])
    findings = [] if row.document is None else json.loads(row.document)["findings"]
    return SweepRow(
        number=number,
        values=values,
        job=row.id,
        status=row.status,
        health=row.health,
        outcome=None if row.outcome is None else read_stored(Outcome, row.outcome),
        findings=[finding["rule"] for finding in findings],
    )
