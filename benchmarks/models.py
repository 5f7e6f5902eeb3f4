"""The four models whose training is recorded, each with a batch that fits it and the optimizer that it is trained with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer


@dataclass
class Training:
    """A model in training on one batch, over and over: what it learns does not matter here."""

    model: nn.Module
    optimizer: Optimizer
    inputs: Tensor
    targets: Tensor
    steps: int = 0
    criterion: nn.Module = field(default_factory=nn.CrossEntropyLoss)

    def compute_gradients(self) -> Tensor:
        """Do everything of a step that comes before the update; return the loss."""
        self.optimizer.zero_grad()
        loss: Tensor = self.criterion(self.model(self.inputs), self.targets)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch types it not
        self.steps += 1
        return loss

    def twin(self) -> Training:
        """Return a copy that shares nothing, as far trained as this one."""
        return copy.deepcopy(self)


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, and the input added to them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False) if stride != 1 else nn.Identity()
        self.activation = nn.ReLU()
        self.output = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, channels_in, height, width) to (batch, channels, height / stride, width / stride)."""
        hidden = self.activation(self.first_norm(self.first(inputs)))
        result: Tensor = self.output(self.second_norm(self.second(hidden)) + self.shortcut(inputs))
        return result


class SequenceClassifier(nn.Module):
    """A transformer encoder whose mean over the tokens is classified."""

    def __init__(self, width: int, layers: int, classes: int) -> None:
        super().__init__()
        # Without the fused path, which a training never takes anyway.
        layer = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, tokens, width) to (batch, classes)."""
        logits: Tensor = self.head(self.encoder(inputs).mean(dim=1))
        return logits


def sigmoid_mlp(layers: int = 50, width: int = 64, batch: int = 64) -> Training:
    """Make the deep narrow MLP: many small tensors, so that it shows what every call costs."""
    hidden = [module for _ in range(layers - 1) for module in (nn.Linear(width, width), nn.Sigmoid())]
    model = nn.Sequential(*hidden, nn.Linear(width, 10))
    return _with_sgd(model, torch.randn(batch, width))


def residual_cnn(channels: int = 16, batch: int = 32) -> Training:
    """Make a small residual network for images of 3 x 32 x 32."""
    blocks = [
        ResidualBlock(channels, channels, stride=1),
        ResidualBlock(channels, 2 * channels, stride=2),
        ResidualBlock(2 * channels, 4 * channels, stride=2),
    ]
    stem = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * channels, 10))
    return _with_sgd(model, torch.randn(batch, 3, 32, 32))


def transformer(width: int = 128, tokens: int = 64, layers: int = 4, batch: int = 8) -> Training:
    """Make a transformer encoder, trained with AdamW."""
    model = SequenceClassifier(width, layers, 10)
    optimizer = AdamW(model.parameters(), lr=1e-4)
    return Training(model, optimizer, torch.randn(batch, tokens, width), torch.arange(batch) % 10)


def wide_mlp(width: int = 2048, batch: int = 64) -> Training:
    """Make the MLP of four wide layers: few large tensors, so that it shows what every byte costs."""
    hidden = [module for _ in range(3) for module in (nn.Linear(width, width), nn.ReLU())]
    return _with_sgd(nn.Sequential(*hidden, nn.Linear(width, 10)), torch.randn(batch, width))


def _with_sgd(model: nn.Module, inputs: Tensor) -> Training:
    return Training(model, SGD(model.parameters(), lr=1e-3, momentum=0.9), inputs, torch.arange(len(inputs)) % 10)


@dataclass(frozen=True)
class Subject:
    """A model to measure, and how many steps a measurement of it takes."""

    name: str
    make: Callable[[], Training]
    rounds: int
    dear_steps: int
    """Steps in a block of a recorder that takes several times as long as the training itself."""


SUBJECTS = (
    Subject("sigmoid MLP, 50 layers", sigmoid_mlp, rounds=7, dear_steps=10),
    Subject("residual CNN", residual_cnn, rounds=3, dear_steps=5),
    Subject("transformer, 4 layers", transformer, rounds=3, dear_steps=5),
    Subject("MLP, 4 x 2048", wide_mlp, rounds=3, dear_steps=3),
)


def tiny_subjects() -> tuple[Subject, ...]:
    """Return the four models at a size at which a measurement says nothing, but shows that it runs."""
    return (
        Subject("sigmoid MLP", lambda: sigmoid_mlp(3, 4, 4), rounds=1, dear_steps=2),
        Subject("residual CNN", lambda: residual_cnn(2, 2), rounds=1, dear_steps=2),
        Subject("transformer", lambda: transformer(8, 4, 1, 2), rounds=1, dear_steps=2),
        Subject("MLP", lambda: wide_mlp(16, 4), rounds=1, dear_steps=2),
    )
