from collections.abc import Callable
from typing import get_args

import pytest
from sqlalchemy import update

from gradclinic.contract.job import LIVE, Job, JobStatus, RunStatus
from store.jobs import find_job
from store.runs import baseline_of, find_run
from store.status import JOB_MOVES, RUN_MOVES, move_job, move_run
from store.tables import jobs, runs
from store.transactions import Store

JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
RUN_STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)


def test_every_status_has_its_paths_and_an_ended_job_has_none():
    assert set(JOB_MOVES) == set(JOB_STATUSES)
    assert set(RUN_MOVES) == set(RUN_STATUSES)
    assert {status for status, targets in JOB_MOVES.items() if targets} == LIVE


@pytest.mark.parametrize("start", JOB_STATUSES)
def test_a_job_moves_along_the_allowed_paths_alone(store: Store, post_job: Callable[..., Job], start: JobStatus):
    for to in JOB_STATUSES:
        job = post_job()
        with store.writing() as writer:
            writer.connection.execute(update(jobs).where(jobs.c.id == job.id).values(status=start))
            moved = move_job(writer, job.id, to)
            found = find_job(writer, job.id)
        assert moved is (to in JOB_MOVES[start])
        assert found.status == (to if moved else start)
        assert found.version == (2 if moved else 1)
        assert (found.finished_at is not None) is (moved and to not in LIVE)


@pytest.mark.parametrize("start", RUN_STATUSES)
def test_a_run_moves_along_the_allowed_paths_alone(store: Store, post_job: Callable[..., Job], start: RunStatus):
    job = post_job()
    for to in RUN_STATUSES:
        with store.writing() as writer:
            run = baseline_of(writer, job.id)
            writer.connection.execute(update(runs).where(runs.c.id == run.id).values(status=start))
            moved = move_run(writer, run.id, to)
            found = find_run(writer, run.id)
        assert moved is (to in RUN_MOVES[start])
        assert found.status == (to if moved else start)


def test_a_condition_that_does_not_hold_moves_nothing(store: Store, post_job: Callable[..., Job]):
    job = post_job()

    with store.writing() as writer:
        assert not move_job(writer, job.id, "training", where=(jobs.c.version == 5,))
        assert not move_run(writer, baseline_of(writer, job.id).id, "training", where=(runs.c.attempt == 5,))
        assert find_job(writer, job.id) == job
