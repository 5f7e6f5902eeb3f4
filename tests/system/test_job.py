"""A job's whole way: posted over HTTP, trained by a worker, its history and diagnosis read back."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from store.jobs import request_cancel
from tests.system.running import ROOT, System, assert_every_step_once, long_spec, spec, wait_until

pytestmark = pytest.mark.slow


def test_a_posted_job_is_trained_diagnosed_and_read_back(system: System):
    [worker] = system.start_workers(1)
    _, url = system.start_service()
    with httpx2.Client(base_url=url, timeout=30) as http:
        posted = http.post("/v1/jobs", json=deep_sigmoid())
        assert posted.status_code == 202, posted.text
        job_id = posted.json()["id"]
        assert system.wait_for_end(job_id).status == "succeeded"
        job = http.get(f"/v1/jobs/{job_id}").json()
        assert (job["status"], job["health"], job["error"]) == ("succeeded", "critical", None)
        assert job["progress"]["step"] == 200
        diagnosis = http.get(f"/v1/jobs/{job_id}/diagnosis").json()
        assert "vanishing_gradient" in [finding["rule"] for finding in diagnosis["findings"]]
        assert diagnosis["fixes"]
        assert diagnosis["outcome"]["steps"] == 200
    assert_every_step_once(system.history(job_id), 200)
    assert worker.is_running


def test_the_health_check_knows_a_living_worker(system: System):
    def health() -> int:
        environment = {**os.environ, **system.environment}
        return subprocess.run(
            [sys.executable, "-m", "worker.health"], env=environment, cwd=ROOT, check=False
        ).returncode

    assert health() == 1
    system.start_worker()
    wait_until(lambda: health() == 0)


def test_cancelling(system: System):
    """A training stops within a second or so; a queued job never starts."""
    system.start_workers(1)
    training, queued = system.post(long_spec()), system.post(long_spec())
    system.wait_for_step(training, 1)
    with system.store.writing() as writer:
        request_cancel(writer, queued)
        request_cancel(writer, training)
    assert system.job(queued).status == "cancelled"
    assert system.wait_for_end(training, seconds=3).status == "cancelled"
    after = system.post(spec(20))
    assert system.wait_for_end(after).status == "succeeded"
    assert system.job(queued).attempt == 0
    assert system.job(queued).started_at is None


def deep_sigmoid() -> dict[str, Any]:
    turn = [{"type": "Linear", "out_features": 32}, {"type": "Sigmoid"}]
    return {
        "model": {"layers": [{"type": "Repeat", "times": 16, "layers": turn}, {"type": "Linear", "out_features": 10}]},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200},
    }
