"""The dispatcher: what it sends, what it holds back, and what it survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gradclinic.history import CHUNK_STEPS, History, SignalTable
from store.endings import end_cancelled
from store.engine import FREE_PAGES_KEPT, give_back_space
from store.histories import add_chunk
from store.jobs import delete_job, find_job, list_jobs, request_cancel
from store.retention import PORTION
from store.runs import baseline_of
from store.settings import Settings
from store.transactions import Store
from store.workers import workers_seen
from tests.attempts import claim_baseline
from tests.worker.conftest import FlakyStore
from worker.dispatcher import Dispatcher


class Sent(list[str]):
    """The ids sent so far."""

    def wait_for(self, run_id: str, seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + seconds
        while run_id not in self and time.monotonic() < deadline:
            time.sleep(0.005)
        return run_id in self


@pytest.fixture
def sent() -> Sent:
    return Sent()


def make_dispatcher(
    store: Store,
    settings: Settings,
    send: Callable[[str], None],
    *,
    room: int = 100,
    report_alive: Callable[[], None] = lambda: None,
) -> Dispatcher:
    return Dispatcher(store, settings, room=lambda: room, send=send, report_alive=report_alive)


@contextmanager
def running(dispatcher: Dispatcher) -> Iterator[None]:
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()
        dispatcher.join(5.0)


def test_each_queued_run_is_sent_once(store: Store, settings: Settings, sent: Sent, post_run: Callable[[], str]):
    dispatcher = make_dispatcher(store, settings, sent.append)
    run_ids = [post_run() for _ in range(3)]
    assert dispatcher.run_round() == run_ids
    assert dispatcher.run_round() == []
    assert sent == run_ids


def test_no_more_is_sent_than_there_is_room_for(
    store: Store, settings: Settings, sent: Sent, post_run: Callable[[], str]
):
    run_ids = [post_run() for _ in range(3)]
    assert make_dispatcher(store, settings, sent.append, room=0).run_round() == []
    assert make_dispatcher(store, settings, sent.append, room=2).run_round() == run_ids[:2]


def test_a_run_whose_message_was_lost_is_sent_again(
    store: Store, settings: Settings, sent: Sent, post_run: Callable[[], str]
):
    soon = settings.model_copy(update={"reannounce_seconds": 0.1})
    dispatcher = make_dispatcher(store, soon, sent.append)
    run_id = post_run()
    dispatcher.run_round()
    time.sleep(0.15)
    dispatcher.run_round()
    assert sent == [run_id, run_id]


def test_a_job_of_a_silent_worker_is_swept_up_and_sent(
    store: Store, settings: Settings, sent: Sent, post_job: Callable[[], str]
):
    job_id = post_job()
    with store.writing() as writer:
        claim_baseline(writer, job_id, worker="silent", lease_seconds=0.05)
    time.sleep(0.1)
    make_dispatcher(store, settings, sent.append).run_round()
    with store.reading() as reader:
        assert sent == [baseline_of(reader, job_id).id]
        assert find_job(reader, job_id).status == "queued"


def test_it_notes_that_its_worker_is_there(store: Store, settings: Settings, sent: Sent):
    rounds = threading.Semaphore(0)
    with running(make_dispatcher(store, settings, sent.append, report_alive=rounds.release)):
        assert rounds.acquire(timeout=5)
    with store.reading() as reader:
        assert workers_seen(reader) == 1


def test_it_survives_a_database_outage_and_says_so_once(
    flaky_store: FlakyStore, settings: Settings, sent: Sent, post_run: Callable[[], str]
):
    rounds = threading.Semaphore(0)
    with (
        capture_logs() as logs,
        running(make_dispatcher(flaky_store, settings, sent.append, report_alive=rounds.release)),
    ):
        assert rounds.acquire(timeout=5)
        flaky_store.away = True
        run_id = post_run()
        assert not sent.wait_for(run_id, seconds=0.3)
        flaky_store.away = False
        assert sent.wait_for(run_id)
        assert rounds.acquire(timeout=5)
    said = [line["event"] for line in logs]
    assert said.count("dispatcher_failed") == 1
    assert said.count("dispatcher_recovered") == 1


def test_it_survives_a_broker_outage(store: Store, settings: Settings, post_run: Callable[[], str]):
    soon = settings.model_copy(update={"reannounce_seconds": 0.1})
    sent, refusals = Sent(), [ConnectionError("no broker"), ConnectionError("no broker")]

    def send(run_id: str) -> None:
        if refusals:
            raise refusals.pop()
        sent.append(run_id)

    with running(make_dispatcher(store, soon, send)):
        assert sent.wait_for(post_run())
    assert refusals == []


def test_it_stops_within_a_round(store: Store, settings: Settings, sent: Sent):
    dispatcher = make_dispatcher(store, settings, sent.append)
    dispatcher.start()
    began = time.monotonic()
    dispatcher.stop()
    dispatcher.join(5.0)
    assert time.monotonic() - began < 1.0
    assert not any(thread.name == "dispatcher" for thread in threading.enumerate())


def test_it_deletes_what_was_kept_long_enough_a_few_at_a_time(
    store: Store, settings: Settings, sent: Sent, post_job: Callable[[], str]
):
    job_ids = [post_job() for _ in range(2 * PORTION + 1)]
    with store.writing() as writer:
        for job_id in job_ids:
            request_cancel(writer, job_id)
    rounds = threading.Semaphore(0)
    with running(make_dispatcher(store, settings, sent.append, report_alive=rounds.release)):
        assert rounds.acquire(timeout=5)
    with store.reading() as reader:
        assert len(list_jobs(reader).items) == len(job_ids)  # by default all are kept
    short = settings.model_copy(update={"retention_days": 1e-9})
    with running(make_dispatcher(store, short, sent.append, report_alive=rounds.release)):
        for _ in range(4):
            assert rounds.acquire(timeout=5)
    with store.reading() as reader:
        assert list_jobs(reader).items == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_shrinks_the_file_after_a_deletion(
    store: Store, settings: Settings, sent: Sent, post_job: Callable[[], str]
):
    path = Path(str(store.engine.url.database))
    before, job_id = path.stat().st_size, post_job()
    with store.writing() as writer:
        held = claim_baseline(writer, job_id, worker="a-test", lease_seconds=60)
        assert held is not None
        values = np.random.default_rng(0).normal(size=(CHUNK_STEPS, 10_000))
        subjects = tuple(f"layers.{place}" for place in range(10_000))
        for start in range(0, 4 * CHUNK_STEPS, CHUNK_STEPS):
            steps = np.arange(start, start + CHUNK_STEPS)
            add_chunk(writer, held, History({"grad_norm": SignalTable(steps, subjects, values)}))
        end_cancelled(writer, held)
    with store.writing() as writer:
        delete_job(writer, job_id)
    give_back_space(store.engine, pages=1)  # the log goes into the file
    assert path.stat().st_size > before + 20_000_000

    rounds = threading.Semaphore(0)
    with running(make_dispatcher(store, settings, sent.append, report_alive=rounds.release)):
        for _ in range(10):
            assert rounds.acquire(timeout=5)

    assert path.stat().st_size < before + 2 * FREE_PAGES_KEPT * 4096
