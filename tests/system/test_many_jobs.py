"""Many jobs, several workers: each job is trained to its end exactly once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.system.running import System, assert_every_step_once, long_spec, spec, wait_until

pytestmark = pytest.mark.slow

JOBS = 50
POSTERS = 10
STEPS = 30


def test_fifty_jobs_posted_at_once_to_two_workers(system: System):
    workers = system.workers()
    documents = [spec(STEPS, seed=seed) for seed in range(JOBS)]
    with httpx2.Client(base_url=system.url(), timeout=60) as http, ThreadPoolExecutor(POSTERS) as posters:
        answers = list(posters.map(lambda document: http.post("/v1/jobs", json=document), documents))
    assert {answer.status_code for answer in answers} == {202}
    job_ids = [answer.json()["id"] for answer in answers]
    for job_id in job_ids:
        job = system.wait_for_end(job_id)
        assert (job.status, job.attempt) == ("succeeded", 1)
        assert_every_step_once(system.history(job_id), STEPS)
    wait_until(lambda: sum(trained_to_the_end(system, job_ids).values()) >= JOBS, 5)  # a log is written a moment later
    assert trained_to_the_end(system, job_ids) == dict.fromkeys(job_ids, 1)
    assert all(set(worker.finished_jobs()) & set(job_ids) for worker in workers)


def test_no_job_is_trained_twice_to_the_end_where_leases_lapse(system: System):
    """A worker that stands still for longer than its lease goes on afterwards, and finds that it may write nothing."""
    workers = system.workers()
    job_ids = [system.post(long_spec())] + [system.post(spec(STEPS, seed=seed)) for seed in range(5)]
    system.wait_for_step(job_ids[0], 1)
    _, child = system.worker_of(job_ids[0], workers)
    os.kill(child, signal.SIGSTOP)
    try:
        wait_until(lambda: system.job(job_ids[0]).attempt == 2)
    finally:
        os.kill(child, signal.SIGCONT)
    for job_id in job_ids:
        assert system.wait_for_end(job_id).status == "succeeded"
    assert_every_step_once(system.history(job_ids[0]), long_spec()["training"]["steps"])
    assert system.job(job_ids[0]).attempt == 2
    wait_until(lambda: any(worker.said("lease_lost") for worker in workers), 10)
    assert trained_to_the_end(system, job_ids) == dict.fromkeys(job_ids, 1)


def test_a_broker_that_lost_its_messages(system: System):
    """What is queued runs all the same: the row is the truth."""
    if system.settings.broker_url is None:
        pytest.skip("The embedded system has no broker that could lose messages.")
    system.hold_the_slots()
    job_ids = [system.post(spec(STEPS, seed=seed)) for seed in range(5)]
    assert system.forget_messages() > 0
    assert {system.job(job_id).status for job_id in job_ids} == {"queued"}
    for job_id in job_ids:
        assert system.wait_for_end(job_id).status == "succeeded"
    assert all(worker.is_running for worker in system.workers())


def trained_to_the_end(system: System, job_ids: list[str]) -> dict[str, int]:
    """Count how often each job was trained to its end, by what all workers there ever were wrote into their logs."""
    workers = [process for process in system.processes if process.log.name.startswith("worker")]
    counts = Counter(job_id for worker in workers for job_id in worker.finished_jobs())
    return {job_id: counts[job_id] for job_id in job_ids}
