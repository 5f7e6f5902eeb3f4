"""Workers, sweeps and users at the same jobs at once: nobody waits for another in a circle, and every job gets to an end."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from gradclinic.contract.job import LIVE
from gradclinic.errors import LeaseLost
from gradclinic.history import History
from store.claim import Claim
from store.diagnoses import find_diagnosis
from store.endings import end_cancelled, fail_run
from store.histories import add_chunk
from store.jobs import find_job, request_cancel
from store.queue import announce_due, claim_next, record_progress, release_run, renew_lease, sweep_expired
from store.runs import baseline_of, runs_of_job
from store.transactions import Store, Writer
from tests.attempts import ERROR, finish_with, result_of
from worker.proving import advance_proof

WORKERS = 6
JOBS = 4


class Worker(threading.Thread):
    """Takes runs up and ends them in all ways that there are, until nothing waits."""

    def __init__(self, store: Store, number: int, failures: list[BaseException]) -> None:
        super().__init__()
        self.store = store
        self.draw = random.Random(number)  # noqa: S311 - no secret
        self.failures = failures
        self.finished: list[str] = []

    def run(self) -> None:
        idle = 0
        try:
            while idle < 5:
                idle = 0 if self.take_one() else idle + 1
                self.look_around()
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self.failures.append(error)

    def take_one(self) -> bool:
        lost = self.draw.random() < 0.2
        with self.store.writing() as writer:
            claim = claim_next(writer, worker=self.name, lease_seconds=-1 if lost else 60)
        if claim is None or lost:
            return claim is not None
        with self.store.writing() as writer:
            add_chunk(writer, claim, History())
        with self.store.writing() as writer:
            record_progress(writer, claim, 5)
            cancelled = renew_lease(writer, claim, 60)
        try:
            with self.store.writing() as writer:
                self.end(writer, claim, cancelled=cancelled)
        except LeaseLost:
            pass
        advance_proof(self.store, claim.job_id)
        return True

    def end(self, writer: Writer, claim: Claim, *, cancelled: bool) -> None:
        way = "cancel" if cancelled else self.draw.choices(["finish", "fail", "release"], [8, 1, 1])[0]
        match way:
            case "cancel":
                end_cancelled(writer, claim)
            case "finish":
                score = self.draw.uniform(0.4, 0.9)
                finish_with(writer, claim, result_of(claim, score, fixes=0 if claim.trial else 3))
                self.finished.append(claim.run_id)
            case "fail" if claim.trial is not None:
                fail_run(writer, claim, ERROR)
            case _:
                release_run(writer, claim)

    def look_around(self) -> None:
        with self.store.writing() as writer:
            swept = sweep_expired(writer, max_attempts=50)
        for lapsed in swept:
            if lapsed.is_trial and lapsed.became == "failed":
                advance_proof(self.store, lapsed.job_id)
        with self.store.writing() as writer:
            announce_due(writer, limit=3, again_after=0.001)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_many_at_the_same_jobs_at_once(store: Store, post_job: Callable[[], str]):
    """On SQLite one writes at a time."""
    job_ids = [post_job() for _ in range(JOBS)]
    failures: list[BaseException] = []
    workers = [Worker(store, number, failures) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    with store.writing() as writer:
        request_cancel(writer, job_ids[-1])
    for worker in workers:
        worker.join(60)

    assert failures == []
    ended = Counter(run_id for worker in workers for run_id in worker.finished)
    assert set(ended.values()) == {1}
    with store.reading() as reader:
        for job_id in job_ids[:-1]:
            job, runs = find_job(reader, job_id), runs_of_job(reader, job_id)
            assert (job.status, job.error) == ("succeeded", None)
            assert {run.status for run in runs} <= {"succeeded", "failed"}
            assert job.progress.trials == len(runs) - 1
            assert len({(run.fix, run.seed) for run in runs[1:]}) == len(runs) - 1
            assert find_diagnosis(reader, baseline_of(reader, job_id).id).proof is not None
        assert find_job(reader, job_ids[-1]).status not in LIVE
