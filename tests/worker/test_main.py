"""`python -m worker`: what it refuses, and in which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_worker(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_needs_a_slot():
    refused = run_worker("--concurrency", "0")
    assert refused.returncode == 2
    assert "at least one training" in refused.stderr


def test_a_database_that_was_not_migrated_is_named_in_a_line_of_the_log(new_postgres: Callable[[], str]):
    refused = run_worker(GRADCLINIC_DATABASE_URL=new_postgres())
    assert refused.returncode == 1
    line = json.loads(refused.stderr.splitlines()[-1])
    assert line["event"] == "worker_not_started"
    assert "python -m migrations" in line["reason"]


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:1/nothing"])
def test_a_database_that_is_away_is_named_too(url: str):
    refused = run_worker(GRADCLINIC_DATABASE_URL=url)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert json.loads(refused.stderr.splitlines()[-1])["event"] == "worker_not_started"
