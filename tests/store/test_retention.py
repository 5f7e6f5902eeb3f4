"""What is deleted when it was kept long enough, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Table, func, select, update

from gradclinic.contract.job import Job
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import NotFound
from gradclinic.history import History, SignalTable
from store.claim import Claim
from store.histories import add_chunk, write_part
from store.ids import new_id
from store.jobs import find_job, request_cancel
from store.retention import delete_expired
from store.sweeps import NewJob, add_sweep, find_sweep, job_ids_of
from store.tables import history_chunks, history_overviews, jobs, runs, sweeps
from store.transactions import Store
from tests.attempts import end_baseline
from tests.store.conftest import DOCUMENT

PostJob = Callable[..., Job]


def make_older(store: Store, table: Table, row_id: str, days: float = 10) -> None:
    """Let what happened to a row have happened that much earlier."""
    with store.writing() as writer:
        row = writer.connection.execute(select(table).where(table.c.id == row_id)).mappings().one()
        times = {name: value - timedelta(days=days) for name, value in row.items() if name.endswith("_at") and value}
        writer.connection.execute(update(table).where(table.c.id == row_id).values(times))


def expire(store: Store, **asked: float) -> int:
    with store.writing() as writer:
        return delete_expired(writer, days=7, **asked)  # type: ignore[arg-type]  # a limit is a whole number


def cancel(store: Store, job_id: str) -> None:
    with store.writing() as writer:
        request_cancel(writer, job_id)


def count(store: Store, table: Table) -> int:
    with store.reading() as reader:
        found: int = reader.connection.execute(select(func.count()).select_from(table)).scalar_one()
        return found


def add_external_run(store: Store, status: str = "training") -> str:
    run_id = new_id()
    with store.writing() as writer:
        row = {"id": run_id, "kind": "external", "status": status, "steps_done": 0, "created_at": writer.now()}
        writer.connection.execute(runs.insert().values(row))
    return run_id


def test_an_ended_job_goes_with_all_that_belongs_to_it_when_it_is_old_enough(
    store: Store, post_job: PostJob, claim: Callable[[Job], Claim], part_of: Callable[..., History]
):
    job = post_job(labels={"a": "b"})
    held = claim(job)
    with store.writing() as writer:
        add_chunk(writer, held, part_of(0, 50))
        end_baseline(writer, held)
    make_older(store, jobs, job.id, days=6)
    assert expire(store) == 0
    make_older(store, jobs, job.id, days=2)

    assert expire(store) == 1

    assert [count(store, table) for table in (jobs, runs, history_chunks, history_overviews)] == [0, 0, 0, 0]


def test_a_live_job_stays_whatever_its_age(store: Store, post_job: PostJob, claim: Callable[[Job], Claim]):
    queued, held = post_job(), post_job()
    claim(held)
    for job in (queued, held):
        make_older(store, jobs, job.id, days=1000)

    assert expire(store) == 0
    assert count(store, jobs) == 2


def test_no_more_goes_at_once_than_was_said_and_the_oldest_first(store: Store, post_job: PostJob):
    ids = [post_job().id for _ in range(3)]
    for days, job_id in zip((10, 30, 20), ids, strict=True):
        cancel(store, job_id)
        make_older(store, jobs, job_id, days=days)

    assert expire(store, limit=2) == 2
    with store.reading() as reader:
        assert find_job(reader, ids[0]).id == ids[0]
    assert expire(store, limit=2) == 1
    assert expire(store, limit=2) == 0


def test_a_sweep_goes_when_all_of_its_jobs_may(store: Store):
    combinations = [NewJob(DOCUMENT, parse_spec(DOCUMENT), 120) for _ in range(3)]
    with store.writing() as writer:
        sweep = add_sweep(
            writer, document=DOCUMENT | {"sweep": {"/optimizer/lr": [1, 2, 3]}}, combinations=combinations
        )
        first, second, third = job_ids_of(writer, sweep.id)
    make_older(store, sweeps, sweep.id, days=30)
    for job_id in (first, second):
        cancel(store, job_id)
        make_older(store, jobs, job_id, days=20)
    assert expire(store) == 0  # the third is live
    cancel(store, third)
    assert expire(store) == 0  # the third has ended just now
    with store.reading() as reader:
        assert [row.job for row in find_sweep(reader, sweep.id).rows] == [first, second, third]
    make_older(store, jobs, third, days=8)

    assert expire(store) == 4

    with store.reading() as reader, pytest.raises(NotFound):
        find_sweep(reader, sweep.id)


def test_an_external_run_goes_when_it_ended_or_was_given_up_and_not_while_it_grows(store: Store):
    ended, given_up, growing = add_external_run(store), add_external_run(store), add_external_run(store)
    part = History({"loss": SignalTable(np.arange(5), ("",), np.ones((5, 1)))})
    with store.writing() as writer:
        write_part(writer, given_up, part, 1)
        writer.connection.execute(update(runs).where(runs.c.id == ended).values(finished_at=writer.now()))
    for run_id in (ended, given_up, growing):
        make_older(store, runs, run_id)
    with store.writing() as writer:
        write_part(writer, growing, part, 1)

    assert expire(store) == 2

    with store.reading() as reader:
        assert list(reader.connection.execute(select(runs.c.id)).scalars()) == [growing]


def test_the_runs_of_jobs_go_with_their_jobs_alone(store: Store, post_job: PostJob):
    post_job()
    with store.reading() as reader:
        run_id = reader.connection.execute(select(runs.c.id)).scalar_one()
    make_older(store, runs, run_id)
    assert expire(store) == 0
