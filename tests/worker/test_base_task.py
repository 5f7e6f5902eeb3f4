"""How an attempt ends: whatever a task's function does, the job's row tells it, and the task itself never fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.exc import OperationalError

from gradclinic.contract.job import Job
from gradclinic.errors import Fault, InvalidSpec, TrainingCancelled
from store.jobs import find_job, request_cancel
from store.queue import sweep_expired
from store.settings import Settings
from store.transactions import Store
from tests.attempts import claim_baseline
from tests.worker.conftest import FlakyStore
from worker.app import WorkerApp, make_app
from worker.attempt import Attempt
from worker.base_task import RunTask

Function = Callable[[Attempt], None]
Outcome = Callable[[Function], Job]


@pytest.fixture
def app(settings: Settings, store: Store) -> Iterator[WorkerApp]:
    assert store is not None  # the database is there
    app = make_app(settings)
    yield app
    app.store.close()
    app.close()


@pytest.fixture
def job_after(app: WorkerApp, store: Store, post_job: Callable[[], str]) -> Outcome:
    """Run a function as a task on a new job; return the job as it is then."""

    def run(function: Function) -> Job:
        job_id = post_job()
        app.task(name=f"test.{function.__name__}", base=RunTask, lazy=False, shared=False)(function)(job_id)
        with store.reading() as reader:
            return find_job(reader, job_id)

    return run


def test_an_unexpected_error_fails_the_job_and_tells_no_secrets(job_after: Outcome):
    def break_down(_attempt: Attempt) -> None:
        raise RuntimeError("password=hunter2")

    job = job_after(break_down)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "internal_error"
    assert "hunter2" not in job.model_dump_json()
    assert "Traceback" not in job.model_dump_json()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")],
)
def test_an_error_for_want_of_memory_is_named(job_after: Outcome, error: Exception):
    def eat_memory(_attempt: Attempt) -> None:
        raise error

    job = job_after(eat_memory)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "out_of_memory"


def test_an_error_of_the_library_is_told_in_its_own_words(job_after: Outcome):
    def refuse(_attempt: Attempt) -> None:
        raise InvalidSpec([Fault("/data/path", "There is no such file.")])

    job = job_after(refuse)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "invalid_spec"
    assert job.error.detail == "/data/path: There is no such file."


def test_a_training_ends_at_its_deadline(job_after: Outcome, app: WorkerApp):
    app.settings = app.settings.model_copy(update={"max_training_seconds": 0.2})

    def train(attempt: Attempt) -> None:
        while not attempt.should_stop:
            time.sleep(0.01)
        raise TrainingCancelled("stopped")

    job = job_after(train)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "timeout"
    assert "0.2 seconds" in job.error.detail


def test_a_step_that_never_returns_loses_the_job_and_ends_its_process(
    job_after: Outcome, app: WorkerApp, store: Store, settings: Settings
):
    app.settings = settings.model_copy(update={"stalled_seconds": 2 * settings.lease_seconds})
    stalled = threading.Event()
    app.on_stall = stalled.set

    def hang(attempt: Attempt) -> None:
        for step in range(6):  # slow, but alive
            attempt.lease.step = step
            time.sleep(settings.lease_seconds / 2)
        assert not stalled.is_set()
        assert stalled.wait(5)
        time.sleep(1.2 * settings.lease_seconds)
        with store.writing() as writer:
            assert [run.job_id for run in sweep_expired(writer, max_attempts=3)] == [attempt.claim.job_id]
        assert attempt.should_stop
        raise TrainingCancelled("stopped")

    assert job_after(hang).status == "queued"


def test_an_ending_outlasts_a_short_outage(job_after: Outcome, app: WorkerApp, flaky_store: FlakyStore):
    app.__dict__["store"] = flaky_store

    def break_down(_attempt: Attempt) -> None:
        flaky_store.away = True
        threading.Timer(0.2, setattr, (flaky_store, "away", False)).start()
        raise MemoryError

    job = job_after(break_down)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "out_of_memory"


def test_a_cancelled_training_ends_cancelled(job_after: Outcome, store: Store):
    def train(attempt: Attempt) -> None:
        with store.writing() as writer:
            request_cancel(writer, attempt.claim.job_id)
        while not attempt.should_stop:
            time.sleep(0.01)
        raise TrainingCancelled("stopped")

    assert job_after(train).status == "cancelled"


def test_a_job_in_hand_goes_back_to_the_queue_when_the_worker_stops(job_after: Outcome, app: WorkerApp):
    def train(attempt: Attempt) -> None:
        app.stopping.set()
        assert attempt.should_stop
        raise TrainingCancelled("stopped")

    job = job_after(train)
    assert job.status == "queued"
    assert job.progress.step == 0


def test_a_stopping_worker_takes_up_nothing(job_after: Outcome, app: WorkerApp):
    app.stopping.set()
    assert job_after(never).attempt == 0


def test_an_attempt_that_lost_its_lease_changes_nothing(job_after: Outcome, store: Store, settings: Settings):
    def train_too_long(attempt: Attempt) -> None:
        attempt.lease.close()  # as if the heartbeat could not get through
        time.sleep(1.2 * settings.lease_seconds)
        with store.writing() as writer:
            assert [run.job_id for run in sweep_expired(writer, max_attempts=3)] == [attempt.claim.job_id]
            assert claim_baseline(writer, attempt.claim.job_id, worker="other", lease_seconds=60) is not None
        assert attempt.should_stop
        raise TrainingCancelled("stopped")

    job = job_after(train_too_long)
    assert (job.status, job.attempt) == ("training", 2)


def test_a_database_outage_leaves_the_job_to_its_lease(job_after: Outcome):
    def lose_the_database(_attempt: Attempt) -> None:
        raise OperationalError("INSERT", {}, ConnectionError("gone"))

    assert job_after(lose_the_database).status == "training"


def test_a_message_for_nothing_is_dropped_quietly(app: WorkerApp, post_job: Callable[[], str], store: Store):
    task = app.task(name="test.never", base=RunTask, lazy=False, shared=False)(never)
    task("no such job")
    job_id = post_job()
    with store.writing() as writer:
        assert claim_baseline(writer, job_id, worker="other", lease_seconds=60) is not None
    task(job_id)


def never(_attempt: Attempt) -> None:
    pytest.fail("This job was not to be had.")
