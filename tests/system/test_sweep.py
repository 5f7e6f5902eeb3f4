"""A sweep's whole way: posted with the client, trained by two workers, compared."""

from __future__ import annotations

import csv

import httpx2
import pytest

from gradclinic.client import Client
from tests.system.running import System, spec

pytestmark = pytest.mark.slow


def test_a_sweep_is_trained_and_compared(system: System):
    system.workers()
    url = system.url()
    with Client(url) as client:
        posted = client.submit_sweep(spec(60) | {"sweep": {"/optimizer/lr": [0.0, 0.1], "/training/seed": [0, 1]}})
        assert posted.jobs == {"queued": 4}
        sweep = client.wait_sweep(posted.id, timeout=60)
        assert (sweep.status, sweep.jobs) == ("ended", {"succeeded": 4})
        assert all(row.outcome is not None and row.health is not None for row in sweep.rows)
        assert sweep.compared_by == "accuracy"
        assert sweep.best in {row.job for row in sweep.rows if row.values["/optimizer/lr"] == 0.1}
        text = httpx2.get(f"{url}/v1/sweeps/{sweep.id}?format=csv&sort=best").text
        assert [row["best"] for row in csv.DictReader(text.splitlines())] == ["true", "false", "false", "false"]
        client.delete_sweep(sweep.id)
        assert client.jobs(sweep=sweep.id).items == []
