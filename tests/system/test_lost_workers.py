"""Workers that end in mid-training, gently or not: the job is taken up again, and its history is that of one training."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from gradclinic.history import History
from tests.system.running import (
    System,
    assert_every_step_once,
    assert_same_bits,
    long_spec,
    spec,
    wait_until,
)

pytestmark = pytest.mark.slow

STEPS = long_spec()["training"]["steps"]


def test_a_pool_child_is_killed(system: System, undisturbed: History):
    """Its worker replaces it, and one of the two takes the job up again."""
    workers = system.workers()
    job_id = start_training(system)
    holder, child = system.worker_of(job_id, workers)
    os.kill(child, signal.SIGKILL)
    assert_trained_again(system, job_id, undisturbed)
    wait_until(lambda: len(holder.children()) == 1 and holder.children() != [child])
    assert holder.is_running


def test_a_database_that_drops_its_connections(system: System, undisturbed: History):
    """The training goes on: whatever is written is written again."""
    if system.settings.database_url is None:
        pytest.skip("SQLite has no connections that could be dropped.")
    system.workers()
    job_id = start_training(system)
    drop = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
    )
    name = make_url(system.settings.database).database
    for step in (STEPS // 3, STEPS // 2, 2 * STEPS // 3):
        system.wait_for_step(job_id, step)
        with system.store.reading() as reader:
            assert reader.connection.execute(drop, {"name": name}).scalars().all()
    job = system.wait_for_end(job_id)
    assert (job.status, job.attempt) == ("succeeded", 1)
    assert_same_bits(system.history(job_id), undisturbed)


def test_a_worker_is_killed(system: System, undisturbed: History):
    """SIGKILL of a main process: its children die with it, and the other worker takes the job up when its lease ends."""
    workers = system.workers()
    job_id = start_training(system)
    holder, child = system.worker_of(job_id, workers)
    os.kill(holder.popen.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(child), 5)
    assert_trained_again(system, job_id, undisturbed)


def test_a_worker_is_asked_to_end(system: System, undisturbed: History):
    """SIGTERM: the job is back in the queue at once, without waiting for a lease. An idle worker just ends."""
    first, second = workers = system.workers()
    job_id = start_training(system)
    holder, _ = system.worker_of(job_id, workers)
    assert holder.terminate() < 8
    assert holder.popen.returncode == 0
    assert holder.said_while_ending("release_run")
    assert_trained_again(system, job_id, undisturbed)
    idle = second if holder is first else first
    assert idle.terminate() < 8
    assert idle.popen.returncode == 0
    assert not idle.said_while_ending("Traceback")


def test_a_training_that_hangs_frees_its_slot(system: System):
    """Its process is killed by the worker's main process where it is too far gone to do that itself."""
    system.end_workers()
    hasty = {"GRADCLINIC_MAX_TRAINING_SECONDS": "3", "GRADCLINIC_STALLED_SECONDS": "2"}
    worker = system.start("worker", "--concurrency", "1", **hasty)
    job_id = system.post(spec(20_000))
    system.wait_for_step(job_id, 1)
    _, child = system.worker_of(job_id, [worker])
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: not is_alive(child), 30)
    # The next attempt goes on undisturbed for as long as it may.
    job = system.wait_for_end(job_id)
    assert (job.status, job.attempt) == ("failed", 2)
    assert job.error is not None
    assert job.error.type == "timeout"
    assert worker.terminate() < 8


def start_training(system: System) -> str:
    job_id = system.post(long_spec())
    system.wait_for_step(job_id, STEPS // 4)
    return job_id


def assert_trained_again(system: System, job_id: str, undisturbed: History) -> None:
    job = system.wait_for_end(job_id)
    assert (job.status, job.attempt, job.error) == ("succeeded", 2, None)
    assert_every_step_once(system.history(job_id), STEPS)
    assert_same_bits(system.history(job_id), undisturbed)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
