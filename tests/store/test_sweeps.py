"""Sweeps on both databases: their jobs, their table, and their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from gradclinic.contract.combinations import combinations_of
from gradclinic.contract.diagnosis import Finding, Metric, Outcome
from gradclinic.contract.job import Job, JobError
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.sweep import Sweep
from gradclinic.errors import InvalidSpec, JobIsLive, NotFound
from store.claim import Claim
from store.engine import for_writing, make_engine
from store.jobs import delete_job, find_job, list_jobs
from store.schema import alembic_config, migrate
from store.sweeps import NewJob, add_sweep, delete_sweep, find_summary, find_sweep, list_sweeps, request_cancel_all
from store.transactions import Store
from tests.attempts import end_baseline, fail_baseline
from tests.store.conftest import DOCUMENT

PostSweep = Callable[..., Sweep]
ClaimJob = Callable[[Job], Claim]

AXES: dict[str, list[Any]] = {"/optimizer/lr": [0.1, 0.01], "/scheduler": [None, {"type": "StepLR", "step_size": 5}]}


@pytest.fixture
def post_sweep(store: Store) -> PostSweep:
    """Post a sweep over `AXES`, or over others."""

    def post(axes: dict[str, list[Any]] = AXES, **more: Any) -> Sweep:
        document = DOCUMENT | more | {"sweep": axes}
        found = [NewJob(made.document, parse_spec(made.document), 120) for made in combinations_of(document, most=100)]
        with store.writing() as writer:
            return add_sweep(writer, document=document, combinations=found)

    return post


@pytest.fixture
def end_job(store: Store, claim: ClaimJob) -> Callable[..., None]:
    """Train and diagnose a job of a sweep by hand, so that it ends with an accuracy."""

    def end(job_id: str | None, accuracy: float, *rules: Any) -> None:
        assert job_id is not None
        with store.reading() as reader:
            job = find_job(reader, job_id)
        held = claim(job)
        outcome = Outcome(train_loss=1.0, val_loss=2.0, metric=Metric(name="accuracy", value=accuracy), steps=120)
        findings = [Finding(rule=rule, severity="warning", first_step=None, summary="It is.") for rule in rules]
        health = "warning" if rules else "healthy"
        with store.writing() as writer:
            end_baseline(writer, held, health, outcome=outcome, findings=findings)

    return end


def test_a_sweep_has_a_queued_job_for_each_combination_in_the_order_of_the_product(store: Store, post_sweep: PostSweep):
    sweep = post_sweep(name="rates")

    assert [tuple(row.values.values()) for row in sweep.rows] == [
        (0.1, None),
        (0.1, {"type": "StepLR", "step_size": 5}),
        (0.01, None),
        (0.01, {"type": "StepLR", "step_size": 5}),
    ]
    assert [row.number for row in sweep.rows] == [0, 1, 2, 3]
    assert (sweep.name, sweep.status, sweep.jobs, sweep.best) == ("rates", "live", {"queued": 4}, None)
    assert sweep.spec == DOCUMENT | {"name": "rates"}
    assert list(sweep.sweep) == list(AXES)
    with store.reading() as reader:
        for row in sweep.rows:
            job = find_job(reader, row.job or "")
            assert (job.sweep, job.name) == (sweep.id, "rates")
            assert (job.spec["optimizer"]["lr"], job.spec["scheduler"]) == tuple(row.values.values())
        assert find_sweep(reader, sweep.id) == sweep
        assert dict(find_summary(reader, sweep.id)).items() <= dict(sweep).items()


def test_the_table_holds_what_came_of_each_and_which_is_best(
    store: Store, post_sweep: PostSweep, end_job: Callable[..., None]
):
    sweep = post_sweep({"/optimizer/lr": [1.0, 0.1, 0.01]})
    end_job(sweep.rows[0].job, 0.2, "learning_rate_too_high", "oscillating_loss")
    end_job(sweep.rows[1].job, 0.9)

    with store.reading() as reader:
        after = find_sweep(reader, sweep.id)

    assert (after.status, after.jobs) == ("live", {"queued": 1, "succeeded": 2})
    assert [row.health for row in after.rows] == ["warning", "healthy", None]
    assert [row.findings for row in after.rows] == [["learning_rate_too_high", "oscillating_loss"], [], []]
    assert [row.outcome and row.outcome.metric and row.outcome.metric.value for row in after.rows] == [0.2, 0.9, None]
    assert (after.compared_by, after.best) == ("accuracy", after.rows[1].job)


def test_the_jobs_of_a_sweep_can_be_listed(store: Store, post_sweep: PostSweep, post_job: Callable[..., Job]):
    sweep, other = post_sweep(), post_job()
    with store.reading() as reader:
        found = list_jobs(reader, sweep=sweep.id).items
        assert {job.id for job in found} == {row.job for row in sweep.rows}
        assert find_job(reader, other.id).sweep is None
        assert list_jobs(reader, sweep="nothing").items == []
        with pytest.raises(InvalidSpec):
            list_jobs(reader, sweep="\0")


def test_sweeps_are_listed_newest_first_page_by_page(store: Store, post_sweep: PostSweep):
    ids = [post_sweep().id for _ in range(3)]
    with store.reading() as reader:
        page = list_sweeps(reader, limit=2)
        assert page.next_cursor is not None
        rest = list_sweeps(reader, limit=2, cursor=page.next_cursor)
        assert [sweep.id for sweep in (*page.items, *rest.items)] == ids[::-1]
        assert rest.next_cursor is None
        assert page.items[0].jobs == {"queued": 4}
        with pytest.raises(InvalidSpec):
            list_sweeps(reader, cursor="mine")


def test_cancelling_asks_every_job_that_has_not_ended(
    store: Store, post_sweep: PostSweep, end_job: Callable[..., None], claim: ClaimJob
):
    sweep = post_sweep()
    end_job(sweep.rows[0].job, 0.5)
    with store.reading() as reader:
        held = find_job(reader, sweep.rows[1].job or "")
    claim(held)

    with store.writing() as writer:
        after = request_cancel_all(writer, sweep.id)

    assert [row.status for row in after.rows] == ["succeeded", "training", "cancelled", "cancelled"]
    with store.reading() as reader:
        assert find_job(reader, held.id).cancel_requested


def test_a_sweep_goes_with_its_jobs_once_all_have_ended_and_not_before(
    store: Store, post_sweep: PostSweep, end_job: Callable[..., None]
):
    sweep, other = post_sweep({"/optimizer/lr": [0.1, 0.2]}), post_sweep()
    end_job(sweep.rows[0].job, 0.5)
    with pytest.raises(JobIsLive), store.writing() as writer:
        delete_sweep(writer, sweep.id)
    with store.reading() as reader:
        assert find_sweep(reader, sweep.id).jobs == {"queued": 1, "succeeded": 1}

    with store.writing() as writer:
        request_cancel_all(writer, sweep.id)
        delete_sweep(writer, sweep.id)

    with store.reading() as reader:
        assert [found.id for found in list_sweeps(reader).items] == [other.id]
        assert len(list_jobs(reader).items) == 4


def test_a_job_deleted_by_itself_leaves_its_row(store: Store, post_sweep: PostSweep):
    sweep = post_sweep({"/optimizer/lr": [0.1, 0.2]})
    with store.writing() as writer:
        request_cancel_all(writer, sweep.id)
        delete_job(writer, sweep.rows[0].job or "")
        after = find_sweep(writer, sweep.id)
    assert [(row.values, row.job, row.status) for row in after.rows] == [
        ({"/optimizer/lr": 0.1}, None, None),
        ({"/optimizer/lr": 0.2}, sweep.rows[1].job, "cancelled"),
    ]
    assert (after.jobs, after.status) == ({"cancelled": 1}, "ended")


def test_a_failed_job_has_a_row_without_an_outcome(store: Store, post_sweep: PostSweep, claim: ClaimJob):
    sweep = post_sweep({"/optimizer/lr": [0.1]})
    with store.reading() as reader:
        job = find_job(reader, sweep.rows[0].job or "")
    held = claim(job)
    with store.writing() as writer:
        fail_baseline(writer, held, JobError(type="worker_lost", title="It died", detail="Use less memory."))
        after = find_sweep(writer, sweep.id)
    assert (after.status, after.best, after.compared_by) == ("ended", None, None)
    assert (after.rows[0].status, after.rows[0].outcome) == ("failed", None)


@pytest.mark.parametrize("unknown", ["nothing", "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"])
def test_an_unknown_sweep_is_not_found(store: Store, unknown: str):
    for ask in (find_sweep, find_summary, request_cancel_all, delete_sweep):
        with pytest.raises(NotFound), store.writing() as writer:
            ask(writer, unknown)


def test_jobs_from_before_there_were_sweeps_are_kept(database_url: str, store: Store, post_job: Callable[..., Job]):
    """SQLite makes the table anew; nothing that points at it may go with the old one."""
    job = post_job(labels={"team": "vision"})
    engine = make_engine(database_url)
    with for_writing(engine).connect() as connection:
        command.downgrade(alembic_config(connection), "2026_11_21_first_tables")
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 1
    with store.reading() as reader:
        assert find_job(reader, job.id) == job
    engine.dispose()
