"""A training whose database blinks: nothing is lost, and nothing is stored twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import LeaseLost
from gradclinic.files import Files
from gradclinic.history import History, RunFacts
from gradclinic.training import train
from store.histories import read_history
from store.jobs import find_job
from tests.attempts import claim_baseline, result_of
from tests.worker.conftest import DOCUMENT, FlakyStore
from worker.attempt import Attempt
from worker.lease import Lease
from worker.training import StoringObserver

LEASE_SECONDS = 1.0


@pytest.fixture
def attempt(flaky_store: FlakyStore, post_job: Callable[[], str]) -> Iterator[Attempt]:
    job_id = post_job()
    lease = Lease(flaky_store, LEASE_SECONDS)
    with flaky_store.writing() as writer:
        claim = claim_baseline(writer, job_id, worker="test", lease_seconds=LEASE_SECONDS)
    assert claim is not None
    with lease.held(claim):
        yield Attempt(claim, lease, flaky_store, threading.Event(), time.monotonic() + 60, DEFAULT_LIMITS, Files())


@pytest.fixture(scope="module")
def history() -> History:
    return train(parse_spec(DOCUMENT)).history


def test_a_chunk_outlasts_a_short_outage(attempt: Attempt, flaky_store: FlakyStore, history: History):
    flaky_store.away = True
    threading.Timer(LEASE_SECONDS / 2, setattr, (flaky_store, "away", False)).start()
    StoringObserver(attempt).on_chunk(history)
    assert_stored(attempt, flaky_store, history)


def test_a_chunk_whose_acknowledgement_was_lost_is_stored_once(
    attempt: Attempt, flaky_store: FlakyStore, history: History
):
    observer = StoringObserver(attempt)
    flaky_store.losing_acknowledgements = 2
    observer.on_chunk(history.select(stop=100))
    observer.on_chunk(history.select(start=100))
    assert flaky_store.losing_acknowledgements == 0
    assert_stored(attempt, flaky_store, history)


def test_a_long_outage_is_waited_for_as_long_as_the_lease_lasts(
    attempt: Attempt, flaky_store: FlakyStore, history: History
):
    flaky_store.away = True
    with pytest.raises(OperationalError):
        StoringObserver(attempt).on_chunk(history)
    assert attempt.lease.is_lost


def test_a_job_goes_on_although_the_acknowledgement_of_its_baseline_was_lost(attempt: Attempt, flaky_store: FlakyStore):
    flaky_store.losing_acknowledgements = 1
    result = result_of(attempt.claim, 0.35, fixes=2)
    with pytest.raises(LeaseLost):
        attempt.conclude(RunFacts(outcome=result.diagnosis.outcome), result)
    with flaky_store.reading() as reader:
        job = find_job(reader, attempt.claim.job_id)
    assert (job.status, job.progress.trials) == ("verifying", 0)
    assert job.progress.trials_planned >= 2


def assert_stored(attempt: Attempt, store: FlakyStore, history: History) -> None:
    with store.reading() as reader:
        stored = read_history(reader, attempt.claim.run_id)
    assert stored.tables.keys() == history.tables.keys()
    for name, table in history.tables.items():
        np.testing.assert_array_equal(stored[name].steps, table.steps)
        assert stored[name].values.tobytes() == table.values.tobytes()
