"""A training in another framework's loop, streamed to a real service while it trains, and judged there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradclinic.client import Client
from gradclinic.integrations.lightning import RecorderCallback
from tests.system.running import System

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning's, of workers and what is deprecated


class Deep(LightningModule):
    """Twenty sigmoids on top of each other: nothing comes through."""

    def __init__(self) -> None:
        super().__init__()
        hidden = [layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
        self.body = nn.Sequential(*hidden, nn.Linear(8, 2))
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        x, y = batch
        return self.criterion(self.body(x), y)

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_lightning_training_is_streamed_and_judged(system: System, tmp_path: Path):
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=16)
    with Client(system.url()) as client:
        callback = RecorderCallback(client=client, name="nightly")
        Trainer(
            accelerator="cpu",
            max_epochs=10,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            default_root_dir=tmp_path,
            callbacks=[callback],
        ).fit(Deep(), data, data)
        assert callback.run is not None
        assert (callback.run.name, callback.run.status, callback.run.steps_done) == ("nightly", "succeeded", 160)
        assert "vanishing_gradient" in {finding.rule for finding in callback.diagnosis.findings}
        recorded = client.history(callback.run.id, signals=["val_loss", "loss"])
        assert recorded["steps"][-1] == 159
