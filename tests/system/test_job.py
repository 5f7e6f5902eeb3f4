"""A job's whole way: posted over HTTP, trained by a worker, its history and diagnosis read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from store.jobs import request_cancel
from tests.system.running import ROOT, System, assert_every_step_once, spec, wait_until

pytestmark = pytest.mark.slow


def test_a_posted_job_is_trained_diagnosed_and_read_back(system: System):
    system.workers()
    job, diagnosis = train_over_http(system, deep_sigmoid())
    assert (job["status"], job["health"], job["error"]) == ("succeeded", "critical", None)
    assert job["progress"]["step"] == 200
    assert "vanishing_gradient" in [finding["rule"] for finding in diagnosis["findings"]]
    assert diagnosis["fixes"]
    assert diagnosis["outcome"]["steps"] == 200
    assert_every_step_once(system.history(job["id"]), 200)


def test_a_job_without_steps_is_foreseen_and_nothing_is_tried(system: System):
    system.workers()
    job, diagnosis = train_over_http(system, deep_sigmoid() | {"training": {"steps": 0}, "verification": {}})
    assert (job["status"], job["health"], job["error"]) == ("succeeded", "critical", None)
    assert [job["progress"][key] for key in ("step", "steps", "trials", "trials_planned")] == [0, 0, 0, 0]
    assert "vanishing_gradient" in [finding["rule"] for finding in diagnosis["findings"]]
    assert diagnosis["preflight"]["seeds"] == [0, 1, 2]
    assert diagnosis["outcome"]["steps"] == 0
    assert diagnosis["fixes"]
    assert {fix["verdict"] for fix in diagnosis["fixes"]} == {"untested"}
    assert_every_step_once(system.history(job["id"]), diagnosis["preflight"]["batches"])


def test_a_training_that_explodes_is_a_result(system: System):
    system.workers()
    document = json.loads((ROOT / "examples/exploding-normal-init.json").read_text())
    job, diagnosis = train_over_http(system, document | {"verification": {"fixes": 0}})
    assert (job["status"], job["health"], job["error"]) == ("succeeded", "critical", None)
    assert {"exploding_gradient", "non_finite"} & {finding["rule"] for finding in diagnosis["findings"]}
    assert diagnosis["fixes"]


def test_the_health_check_knows_a_living_worker(system: System, tmp_path: Path):
    def health(folder: Path) -> int:
        environment = {**os.environ, "GRADCLINIC_DATA_DIR": str(folder)}
        command = [sys.executable, "-m", "worker.health"]
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode

    assert health(tmp_path) == 1
    system.workers()
    wait_until(lambda: health(system.settings.data_dir) == 0)


def test_cancelling(system: System):
    """A training stops within a second or so; a queued job never starts."""
    training = system.hold_the_slots()
    queued = system.post(spec(20))
    for job_id in (queued, *training):
        with system.store.writing() as writer:
            request_cancel(writer, job_id)
    assert system.job(queued).status == "cancelled"
    for job_id in training:
        assert system.wait_for_end(job_id, seconds=3).status == "cancelled"
    after = system.post(spec(20))
    assert system.wait_for_end(after).status == "succeeded"
    assert system.job(queued).attempt == 0
    assert system.job(queued).started_at is None


def train_over_http(system: System, document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Post a spec; return its job once that has ended, and its diagnosis."""
    with httpx2.Client(base_url=system.url(), timeout=30) as http:
        posted = http.post("/v1/jobs", json=document)
        assert posted.status_code == 202, posted.text
        job_id = posted.json()["id"]
        system.wait_for_end(job_id)
        return http.get(f"/v1/jobs/{job_id}").json(), http.get(f"/v1/jobs/{job_id}/diagnosis").json()


def deep_sigmoid() -> dict[str, Any]:
    turn = [{"type": "Linear", "out_features": 32}, {"type": "Sigmoid"}]
    return {
        "model": {"layers": [{"type": "Repeat", "times": 16, "layers": turn}, {"type": "Linear", "out_features": 10}]},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200},
        "verification": {"fixes": 0},
    }
