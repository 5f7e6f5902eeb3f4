"""The heartbeat: what it keeps alive, what it brings back, and when it gives up."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.files import Files
from store.claim import Claim
from store.jobs import find_job, request_cancel
from store.queue import sweep_expired
from store.transactions import Store
from tests.attempts import claim_baseline
from tests.worker.conftest import FlakyStore
from worker.attempt import Attempt
from worker.lease import Lease
from worker.training import StoringObserver

SECONDS = 0.6


def claim(store: Store, job_id: str) -> Claim:
    with store.writing() as writer:
        held = claim_baseline(writer, job_id, worker="test", lease_seconds=SECONDS)
    assert held is not None
    return held


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def sweep(store: Store) -> list[str]:
    with store.writing() as writer:
        return [run.job_id for run in sweep_expired(writer, max_attempts=3)]


def test_a_held_lease_outlives_its_length(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    lease = Lease(store, SECONDS)
    with lease.held(claim(store, job_id)):
        time.sleep(2 * SECONDS)
        assert sweep(store) == []
        assert not lease.is_lost
    time.sleep(1.5 * SECONDS)
    assert sweep(store) == [job_id]


def test_the_heartbeat_tells_the_progress(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    lease = Lease(store, SECONDS)

    def told() -> int:
        with store.reading() as reader:
            return find_job(reader, job_id).progress.step

    with lease.held(claim(store, job_id)):
        lease.step = 42
        assert eventually(lambda: told() == 42)


def test_a_cancellation_comes_back_with_the_heartbeat(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    lease = Lease(store, SECONDS)
    with lease.held(claim(store, job_id)):
        assert not lease.cancel_requested
        with store.writing() as writer:
            request_cancel(writer, job_id)
        assert eventually(lambda: lease.cancel_requested)


def test_a_lease_that_another_attempt_took_is_lost(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    lease = Lease(store, seconds=60.0)
    first = claim(store, job_id)
    time.sleep(1.1 * SECONDS)
    assert sweep(store) == [job_id]
    with lease.held(first):
        assert eventually(lambda: lease.is_lost)


def test_a_lease_that_cannot_be_renewed_is_lost_when_it_runs_out(flaky_store: FlakyStore, post_job: Callable[[], str]):
    lease = Lease(flaky_store, SECONDS)
    with lease.held(claim(flaky_store, post_job())):
        flaky_store.away = True
        assert not lease.is_lost
        assert eventually(lambda: lease.is_lost, seconds=3 * SECONDS)


def test_a_short_outage_costs_nothing(flaky_store: FlakyStore, post_job: Callable[[], str]):
    lease = Lease(flaky_store, SECONDS)
    with lease.held(claim(flaky_store, post_job())):
        flaky_store.away = True
        time.sleep(SECONDS / 2)
        flaky_store.away = False
        time.sleep(SECONDS)
        assert not lease.is_lost


def test_a_training_that_asks_whether_to_go_on_is_not_stalled(store: Store, post_job: Callable[[], str]):
    """So a range test does, whose steps are slow and count for no progress."""
    held, stalled_seconds = claim(store, post_job()), SECONDS
    stalls: list[float] = []
    lease = Lease(store, 2 * SECONDS, stalled_seconds, on_stall=lambda: stalls.append(time.monotonic()))
    attempt = Attempt(held, lease, store, threading.Event(), math.inf, DEFAULT_LIMITS, Files())
    with lease.held(held):
        began = time.monotonic()
        while time.monotonic() - began < 2.5 * stalled_seconds:
            assert not StoringObserver(attempt).should_stop()
            time.sleep(stalled_seconds / 3)
        assert not stalls
        assert eventually(lambda: bool(stalls), 4 * stalled_seconds)
    assert lease.is_lost
