"""Many jobs, several workers: each job is trained to its end exactly once."""

from __future__ import annotations

import pytest

from tests.system.running import System, assert_every_step_once, spec

pytestmark = pytest.mark.slow

JOBS = 50
STEPS = 30


def test_fifty_jobs_and_two_workers(system: System):
    workers = system.start_workers(2)
    job_ids = [system.post(spec(STEPS, seed=seed)) for seed in range(JOBS)]
    for job_id in job_ids:
        job = system.wait_for_end(job_id)
        assert (job.status, job.attempt) == ("succeeded", 1)
        assert_every_step_once(system.history(job_id), STEPS)
    assert all(worker.said("job_claimed") for worker in workers)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # the embedded system has no broker
def test_a_broker_that_lost_its_messages(system: System):
    """What is queued runs all the same: the row is the truth."""
    job_ids = [system.post(spec(STEPS, seed=seed)) for seed in range(5)]
    assert system.forget_messages() > 0
    [worker] = system.start_workers(1)
    for job_id in job_ids:
        assert system.wait_for_end(job_id).status == "succeeded"
    # Once more under the feet of a worker that listens.
    more = [system.post(spec(STEPS, seed=seed)) for seed in range(5)]
    system.forget_messages()
    for job_id in more:
        assert system.wait_for_end(job_id).status == "succeeded"
    assert worker.is_running
