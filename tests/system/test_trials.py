"""The proof of a job's fixes, shared by all workers: each trial is trained once, and verdicts are those of an undisturbed proof."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import LIVE, Job
from gradclinic.training import set_threads
from gradclinic.training.proving import prove
from store.jobs import delete_job, request_cancel
from store.tables import runs
from tests.system.running import System, assert_every_step_once, sick_spec, spec, wait_until

pytestmark = pytest.mark.slow

STEPS = 250
"""Of a trial that takes long enough to do something to it meanwhile."""


@pytest.fixture(scope="module")
def undisturbed() -> Diagnosis:
    """The diagnosis of the sick spec with all verdicts, proven in this process from beginning to end."""
    set_threads()
    return prove(sick_spec(STEPS)).diagnosis


def test_two_workers_share_the_trials_of_one_job(system: System):
    workers = system.workers()
    with httpx2.Client(base_url=system.url(), timeout=30) as http:
        job_id = http.post("/v1/jobs", json=sick_spec()).json()["id"]
        wait_until(lambda: system.job(job_id).status == "verifying")
        early = http.get(f"/v1/jobs/{job_id}/diagnosis").json()
        assert early["health"] == "critical"
        assert {fix["verdict"] for fix in early["fixes"]} <= {"untested", "no_effect", "inconclusive"}
        job = system.wait_for_end(job_id)
        found = http.get(f"/v1/jobs/{job_id}/diagnosis").json()
        listed = http.get(f"/v1/jobs/{job_id}/runs").json()["items"]
        for run in listed:
            assert http.get(run["links"]["self"]).json() == run
            assert http.get(run["links"]["diagnosis"]).json()["health"] == run["health"]
            steps = http.get(run["links"]["history"]).json()["steps"]
            assert steps == list(range(run["steps_done"]))
        measured = [fix["measured"] for fix in http.get("/v1/fixes").json()["items"]]
    assert (job.status, job.error) == ("succeeded", None)
    assert job.progress.trials == job.progress.trials_planned == len(listed) - 1 > 2
    assert {run["kind"] for run in listed[1:]} == {"trial"}
    assert "untested" not in {fix["verdict"] for fix in found["fixes"][:1]}
    assert any(record["tries"] for records in measured for record in records)
    trials = [run["id"] for run in listed[1:]]
    wait_until(lambda: len(trained(system, job_id)) == len(trials), 5)  # a log is written a moment later
    assert trained(system, job_id) == Counter(trials)
    assert all(any(of_job == job_id for of_job, _ in worker.finished_trials()) for worker in workers)


def test_a_pool_child_is_killed_in_mid_trial(system: System, undisturbed: Diagnosis):
    workers = system.workers()
    job_id = start_trial(system)
    holder, child = system.worker_of(job_id, workers)
    os.kill(child, signal.SIGKILL)
    job = system.wait_for_end(job_id)
    assert max(attempts(system, job_id)) == 2
    assert_proven(system, job, undisturbed)
    assert holder.is_running


def test_a_worker_is_killed_in_mid_trial(system: System, undisturbed: Diagnosis):
    workers = system.workers()
    job_id = start_trial(system)
    holder, _ = system.worker_of(job_id, workers)
    os.kill(holder.popen.pid, signal.SIGKILL)
    job = system.wait_for_end(job_id)
    assert max(attempts(system, job_id)) == 2
    assert_proven(system, job, undisturbed)


def test_a_worker_that_is_asked_to_end_hands_its_trial_back(system: System, undisturbed: Diagnosis):
    workers = system.workers()
    job_id = start_trial(system)
    holder, _ = system.worker_of(job_id, workers)
    assert holder.terminate() < 8
    assert holder.said_while_ending("release_run")
    assert_proven(system, system.wait_for_end(job_id), undisturbed)


def test_a_broker_that_lost_its_messages_loses_no_trial(system: System, undisturbed: Diagnosis):
    if system.settings.broker_url is None:
        pytest.skip("The embedded system has no broker that could lose messages.")
    system.workers()
    job_id = start_trial(system)
    while system.job(job_id).status in LIVE:
        system.forget_messages()
    assert_proven(system, system.job(job_id), undisturbed)


def test_cancelling_while_fixes_are_proven(system: System):
    """The trials at work stop within a second or so, the others never start, and the diagnosis stays."""
    system.workers()
    job_id = start_trial(system, 1000)
    with system.store.writing() as writer:
        request_cancel(writer, job_id)
    job = system.wait_for_end(job_id, seconds=5)
    assert (job.status, job.health) == ("cancelled", "critical")
    assert {run.status for run in system.runs(job_id)[1:]} <= {"cancelled", "succeeded"}
    assert system.diagnosis(job_id).fixes
    after = system.post(spec(20))
    assert system.wait_for_end(after).status == "succeeded"
    with system.store.writing() as writer:
        delete_job(writer, job_id)


def test_a_trial_that_loses_every_worker_costs_its_arm_alone(system: System):
    system.workers()
    job_id = start_trial(system)
    last = {"losses": int(system.environment["GRADCLINIC_MAX_ATTEMPTS"]) - 1}
    with system.store.writing() as writer:
        held = select(runs.c.id).where(runs.c.job_id == job_id, runs.c.status == "training").limit(1)
        run_id = writer.connection.execute(held).scalar_one()
        writer.connection.execute(update(runs).where(runs.c.id == run_id).values(last))
        name = writer.connection.execute(select(runs.c.worker).where(runs.c.id == run_id)).scalar_one()
    os.kill(int(name.rpartition(":")[2]), signal.SIGKILL)
    job = system.wait_for_end(job_id)
    assert (job.status, job.error) == ("succeeded", None)
    (failed,) = [run for run in system.runs(job_id) if run.status == "failed"]
    assert failed.id == run_id
    assert failed.error is not None
    assert failed.error.type == "worker_lost"
    with system.store.writing() as writer:
        delete_job(writer, job_id)


def start_trial(system: System, steps: int = STEPS) -> str:
    """Post a job with fixes to prove, and wait until a trial of it has begun."""
    forget_records(system)
    job_id = system.post(sick_spec(steps))

    def trains() -> bool:
        return any(run.kind == "trial" and run.status == "training" for run in system.runs(job_id))

    wait_until(trains)
    return job_id


def forget_records(system: System) -> None:
    """Delete the jobs of other tests that ended: what was measured there would change which fixes are tried here."""
    with system.store.reading() as reader:
        found = list(
            reader.connection.execute(select(runs.c.job_id).where(runs.c.kind == "trial").distinct()).scalars()
        )
    for job_id in found:
        with system.store.writing() as writer:
            delete_job(writer, job_id)


def assert_proven(system: System, job: Job, undisturbed: Diagnosis) -> None:
    """Check that every trial was trained once to its end, and that the verdicts are those of an undisturbed proof."""
    assert (job.status, job.error) == ("succeeded", None)
    assert told(system.diagnosis(job.id)) == told(undisturbed)
    assert_every_step_once(system.history(job.id), STEPS)
    assert {run.status for run in system.runs(job.id)} == {"succeeded"}
    with system.store.writing() as writer:
        delete_job(writer, job.id)


def told(diagnosis: Diagnosis) -> Any:
    """Return a diagnosis without what was measured with a clock."""
    found = diagnosis.model_dump(mode="json")
    for fix in found["fixes"]:
        if fix["effect"] is not None:
            fix["effect"]["cost"].pop("time")
    return found


def attempts(system: System, job_id: str) -> list[int]:
    with system.store.reading() as reader:
        return list(reader.connection.execute(select(runs.c.attempt).where(runs.c.job_id == job_id)).scalars())


def trained(system: System, job_id: str) -> Counter[str]:
    """Count how often each trial was trained to its end, by what all workers there ever were wrote into their logs."""
    workers = [process for process in system.processes if process.log.name.startswith("worker")]
    ended = [pair for worker in workers for pair in worker.finished_trials()]
    return Counter(run_id for of_job, run_id in ended if of_job == job_id)
