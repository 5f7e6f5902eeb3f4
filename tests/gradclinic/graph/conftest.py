"""Models of users, as artifacts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradclinic.export import export_artifact
from gradclinic.files import Files


class Deep(nn.Module):
    def __init__(self, depth: int = 18) -> None:
        super().__init__()
        self.body = nn.Sequential(*[part for _ in range(depth) for part in (nn.Linear(64, 64), nn.Sigmoid())])
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(artifact_path=lambda name: tmp_path / name)


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., Path]:
    def export(model: nn.Module, inputs: Tensor, name: str = "model") -> Path:
        export_artifact(model, inputs, tmp_path / name)
        return tmp_path / name

    return export


@pytest.fixture
def deep(exported) -> Path:
    torch.manual_seed(0)
    return exported(Deep(), torch.zeros(2, 64))


@pytest.fixture
def spec() -> Callable[..., dict[str, Any]]:
    def make(**parts: Any) -> dict[str, Any]:
        return {
            "model": {"type": "graph", "artifact": "model"},
            "data": {"type": "digits"},
            "loss": {"type": "CrossEntropyLoss"},
            "optimizer": {"type": "SGD", "lr": 0.1},
            "training": {"steps": 30},
        } | parts

    return make
