"""Databases of before runs were the queue, and back to them: what is held stays held, what was proven half is over."""

from __future__ import annotations

from collections.abc import Callable

from alembic import command
from sqlalchemy import Engine, Row, text

from gradclinic.contract.job import Job
from store.claim import Claim
from store.engine import for_writing
from store.jobs import find_job
from store.queue import claim_next, renew_lease, sweep_expired
from store.runs import runs_of_job
from store.schema import alembic_config, migrate
from store.transactions import Store
from tests.attempts import claim_baseline, fail_baseline, finish_with, result_of
from worker.proving import advance_proof

BEFORE = "2026_11_21_packed"


def downgrade(engine: Engine) -> None:
    with for_writing(engine).connect() as connection:
        command.downgrade(alembic_config(connection), BEFORE)


def job_row(engine: Engine, job_id: str) -> Row[tuple[object, ...]]:
    with engine.connect() as connection:
        return connection.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id}).one()


def test_what_is_held_stays_held(engine: Engine, store: Store, post_job: Callable[..., Job]):
    job, failing, waiting = post_job(), post_job(), post_job()
    with store.writing() as writer:
        held = claim_baseline(writer, job.id, worker="here", lease_seconds=60)
        failed = claim_baseline(writer, failing.id)
        assert held is not None
        assert failed is not None
        fail_baseline(writer, failed)
        before = [find_job(writer, one.id) for one in (job, failing, waiting)]

    downgrade(engine)
    row = job_row(engine, job.id)
    assert (row.status, row.attempt, row.losses, row.worker) == ("training", 1, 0, "here")
    assert row.lease_until is not None
    migrate(engine)

    with store.writing() as writer:
        assert [find_job(writer, one.id) for one in (job, failing, waiting)] == before
        assert runs_of_job(writer, failing.id)[0].error == before[1].error
        assert renew_lease(writer, held, -1) is False
        assert [run.job_id for run in sweep_expired(writer, max_attempts=3)] == [job.id]
        claims = [claim_next(writer, worker="w", lease_seconds=60) for _ in range(3)]
    assert [(claim.job_id, claim.attempt) for claim in claims if claim is not None] == [(job.id, 2), (waiting.id, 1)]


def test_what_was_proven_half_is_over_where_nobody_can_go_on(
    engine: Engine, store: Store, post_job: Callable[..., Job], claim: Callable[[Job], Claim]
):
    job = post_job()
    held = claim(job)
    with store.writing() as writer:
        finish_with(writer, held, result_of(held, 0.4, fixes=2))
    advance_proof(store, job.id)
    with store.reading() as reader:
        assert find_job(reader, job.id).status == "verifying"

    downgrade(engine)
    assert job_row(engine, job.id).status == "succeeded"
    migrate(engine)

    with store.reading() as reader:
        found = find_job(reader, job.id)
        assert (found.status, found.health) == ("succeeded", "critical")
        assert found.finished_at is not None
        assert found.finished_at >= found.created_at.replace(microsecond=0)
        assert [run.kind for run in runs_of_job(reader, job.id)] == ["baseline"]
