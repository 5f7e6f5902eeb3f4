"""Jobs as their users see them: adding, finding, listing, cancelling, deleting. Workers go through `queue.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, exists, func, insert, select, update

from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import LIVE, Job, JobError, JobStatus, Page, Progress
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import JobIsLive, NotFound
from store.early import early_findings_from
from store.endings import end_where_cancelled
from store.ids import is_id, new_id
from store.pages import rows_of_page
from store.runs import baseline_of
from store.status import hold_job, move_job, move_run
from store.stored import read_stored
from store.tables import jobs, labels, runs
from store.texts import refuse_unstorable
from store.transactions import Reader, Writer
from store.trials import cancel_queued_trials


def add_job(  # noqa: PLR0913 - what a job is made of, each by its keyword
    writer: Writer,
    *,
    document: dict[str, Any],
    spec: JobSpec,
    steps: int,
    sweep: str | None = None,
    number: int | None = None,
) -> Job:
    """Add a queued job and its baseline run. `document` is the spec as posted, `steps` what it comes to.

    A job of a `sweep` has the `number` of its combination.
    """
    now, job_id = writer.now(), new_id()
    writer.connection.execute(
        insert(jobs).values(
            id=job_id,
            name=spec.name,
            status="queued",
            step=0,
            steps=steps,
            trials=0,
            trials_planned=spec.trials_at_most or 0,
            created_at=now,
            cancel_requested=False,
            version=1,
            document=json.dumps(document, allow_nan=False, separators=(",", ":")),
            sweep_id=sweep,
            sweep_number=number,
        )
    )
    if spec.labels:
        rows = [{"job_id": job_id, "key": key, "value": value} for key, value in spec.labels.items()]
        writer.connection.execute(insert(labels), rows)
    writer.connection.execute(
        insert(runs).values(
            id=new_id(),
            job_id=job_id,
            kind="baseline",
            status="queued",
            seed=spec.training.seed,
            steps_done=0,
            created_at=now,
        )
    )
    return find_job(writer, job_id)


def find_job(reader: Reader, job_id: str) -> Job:
    """Return a job.

    Raises:
        NotFound: There is none with that id.
    """
    row = reader.connection.execute(_jobs().where(jobs.c.id == job_id)).one_or_none() if is_id(job_id) else None
    if row is None:
        raise NotFound("job", job_id)
    return _jobs_from(reader, [row])[0]


def list_jobs(  # noqa: PLR0913 - the parameters of the HTTP list
    reader: Reader,
    *,
    status: JobStatus | None = None,
    health: Health | None = None,
    labels: Mapping[str, str] | None = None,
    name: str | None = None,
    sweep: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Return a page of jobs, newest first. Jobs added while someone turns the pages neither shift nor repeat any.

    Raises:
        InvalidSpec: The cursor is none of ours, or a filter holds a character that no database can.
    """
    refuse_unstorable(
        {
            "/name": [name or ""],
            "/sweep": [sweep or ""],
            "/label": [text for pair in (labels or {}).items() for text in pair],
        }
    )
    conditions = _filters(status, health, labels or {}, name, sweep)
    rows, more = rows_of_page(reader, jobs, *conditions, cursor=cursor, limit=limit, query=_jobs())
    return Page[Job](items=_jobs_from(reader, rows), next_cursor=more)


def count_queued(reader: Reader) -> int:
    """Count the jobs that wait for a worker."""
    found: int = reader.connection.execute(select(func.count()).where(jobs.c.status == "queued")).scalar_one()
    return found


def request_cancel(writer: Writer, job_id: str) -> Job:
    """Ask a job to stop: a queued one is cancelled at once, one at work when its workers hear of it, an ended one stays.

    Raises:
        NotFound: There is none with that id.
    """
    held = hold_job(writer, job_id) if is_id(job_id) else None
    if held is not None and held.status == "queued":
        move_job(writer, job_id, "cancelled", cancel_requested=True)
        move_run(writer, baseline_of(writer, job_id).id, "cancelled")
    elif held is not None and held.status in LIVE and not held.cancel_requested:
        ask = update(jobs).where(jobs.c.id == job_id)
        writer.connection.execute(ask.values(cancel_requested=True, version=jobs.c.version + 1))
        cancel_queued_trials(writer, job_id)
        end_where_cancelled(writer, job_id)
    return find_job(writer, job_id)


def delete_job(writer: Writer, job_id: str) -> None:
    """Delete an ended job and all that belongs to it.

    Raises:
        NotFound: There is none with that id.
        JobIsLive: It has not ended.
    """
    ended = (jobs.c.id == job_id, jobs.c.status.not_in(LIVE))
    if is_id(job_id) and writer.connection.execute(delete(jobs).where(*ended)).rowcount == 1:
        return
    job = find_job(writer, job_id)
    raise JobIsLive(
        f"Job {job_id} is {job.status}, and a live job cannot be deleted. Cancel it first, and wait for it."
    )


def _jobs() -> Select[Any]:
    # How often the baseline was taken up; a join would give a page its order by another table.
    attempt = select(runs.c.attempt).where(runs.c.job_id == jobs.c.id, runs.c.kind == "baseline")
    return select(jobs, attempt.correlate(jobs).scalar_subquery().label("attempt"))


def _filters(
    status: JobStatus | None, health: Health | None, wanted: Mapping[str, str], name: str | None, sweep: str | None
) -> list[ColumnElement[bool]]:
    given = ((jobs.c.status, status), (jobs.c.health, health), (jobs.c.name, name), (jobs.c.sweep_id, sweep))
    conditions: list[ColumnElement[bool]] = [column == value for column, value in given if value is not None]
    for key, value in wanted.items():
        conditions.append(
            exists().where(labels.c.job_id == jobs.c.id, labels.c.key == key, labels.c.value == value).correlate(jobs)
        )
    return conditions


def _jobs_from(reader: Reader, rows: Sequence[Row[Any]]) -> list[Job]:
    by_job: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    if by_job:
        query = select(labels).where(labels.c.job_id.in_(by_job)).order_by(labels.c.key)
        for label in reader.connection.execute(query):
            by_job[label.job_id][label.key] = label.value
    return [_job_from(row, by_job[row.id]) for row in rows]


def _job_from(row: Row[Any], labels_of_job: dict[str, str]) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        labels=labels_of_job,
        status=row.status,
        health=row.health,
        progress=Progress(
            step=row.step,
            steps=row.steps,
            trials=row.trials,
            trials_planned=row.trials_planned,
            findings=early_findings_from(row.early_findings),
        ),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=None if row.error is None else read_stored(JobError, row.error),
        spec=json.loads(row.document),
        sweep=row.sweep_id,
        cancel_requested=row.cancel_requested,
        attempt=row.attempt,
        version=row.version,
    )
