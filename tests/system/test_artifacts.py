"""A model that the service has never seen: exported from PyTorch, uploaded, trained by a worker, diagnosed, deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from gradclinic.client import Client
from gradclinic.errors import InvalidSpec, RequestFailed
from gradclinic.export import export_artifact
from tests.system.running import System, spec

pytestmark = pytest.mark.slow


class Forked(nn.Module):
    """Two ways through the model, which no list of layers can say, and far too many sigmoids on one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(64, 16)
        self.deep = nn.Sequential(*(layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.Sigmoid())))
        self.scale = nn.Parameter(torch.full((16,), 1e-3))
        self.exit = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x)
        return self.exit(self.deep(x) + self.scale * x)


def test_an_exported_model_is_trained_and_diagnosed(system: System, tmp_path: Path):
    system.workers()
    export_artifact(Forked(), torch.zeros(2, 64), tmp_path / "forked.safetensors")
    with Client(system.url()) as client:
        artifact = client.upload_artifact(tmp_path / "forked.safetensors")
        document = spec(60) | {"model": {"type": "graph", "artifact": artifact.id}}
        assert client.validate(document).output_shape == [10]
        job = client.wait(client.submit(document).id, timeout=60)
        assert (job.status, job.error) == ("succeeded", None)
        assert client.diagnosis(job.id).outcome is not None
        history = system.history(job.id)
        assert list(history["loss"].steps) == list(range(60))
        assert {"entry.weight", "deep.0.weight", "scale"} <= set(history.tables["grad_norm"].subjects)

        live = client.submit(spec(20_000) | {"model": document["model"]})
        with pytest.raises(RequestFailed, match=live.id):
            client.delete_artifact(artifact.id)
        client.cancel(live.id)
        client.wait(live.id, timeout=30)
        client.delete_artifact(artifact.id)
        with pytest.raises(InvalidSpec, match="/model/artifact"):
            client.submit(document)
