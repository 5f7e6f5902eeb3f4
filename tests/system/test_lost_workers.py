"""Workers that end in mid-training, gently or not: the job is taken up again, and its history is that of one training."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.system.running import (
    System,
    assert_every_step_once,
    assert_same_bits,
    long_spec,
    wait_until,
)

pytestmark = pytest.mark.slow

STEPS = long_spec()["training"]["steps"]


def test_a_worker_is_killed(system: System):
    """SIGKILL of the whole process group. The other worker takes the job up when the lease has run out."""
    workers = system.start_workers(2)
    job_id = start_training(system)
    system.worker_of(job_id, workers)[0].kill()
    assert_trained_again(system, job_id)


def test_a_main_process_is_killed_alone(system: System):
    """Its children die with it, and do not go on training behind everybody's back."""
    workers = system.start_workers(1)
    job_id = start_training(system)
    holder, child = system.worker_of(job_id, workers)
    os.kill(holder.popen.pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 5)
    assert system.job(job_id).status in ("training", "queued")


def test_a_pool_child_is_killed(system: System):
    """The pool replaces it, and the same worker takes the job up again."""
    workers = system.start_workers(1)
    job_id = start_training(system)
    holder, child = system.worker_of(job_id, workers)
    os.kill(child, signal.SIGKILL)
    assert_trained_again(system, job_id)
    assert holder.is_running


def test_a_worker_is_asked_to_end(system: System):
    """SIGTERM: the job is back in the queue at once, without waiting for a lease."""
    workers = system.start_workers(2)
    job_id = start_training(system)
    holder, _ = system.worker_of(job_id, workers)
    assert holder.terminate() < 8
    assert holder.popen.returncode == 0
    assert holder.said("release_job")
    assert_trained_again(system, job_id)


def test_an_idle_worker_ends_quickly(system: System):
    [worker] = system.start_workers(1)
    assert worker.terminate() < 5
    assert worker.popen.returncode == 0


def start_training(system: System) -> str:
    job_id = system.post(long_spec())
    system.wait_for_step(job_id, STEPS // 4)
    return job_id


def assert_trained_again(system: System, job_id: str) -> None:
    job = system.wait_for_end(job_id)
    assert (job.status, job.attempt, job.error) == ("succeeded", 2, None)
    assert_every_step_once(system.history(job_id), STEPS)
    undisturbed = system.post(long_spec())
    assert system.wait_for_end(undisturbed).attempt == 1
    assert_same_bits(system.history(job_id), system.history(undisturbed))
