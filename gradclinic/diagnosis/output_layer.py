"""The end of a network: which activation stands last, and what numbers can come out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradclinic.history import LayerFacts

PASSING = frozenset(
    {"Flatten", "Unflatten", "Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "Select"}
)
"""Layers that leave the range of their input as it is."""

RANGES: dict[str, tuple[float, float]] = {
    "Exp": (0.0, math.inf),
    "GLU": (-math.inf, math.inf),
    "Hardsigmoid": (0.0, 1.0),
    "Hardtanh": (-1.0, 1.0),
    "LogSigmoid": (-math.inf, 0.0),
    "LogSoftmax": (-math.inf, 0.0),
    "ReLU": (0.0, math.inf),
    "ReLU6": (0.0, 6.0),
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softmin": (0.0, 1.0),
    "Softplus": (0.0, math.inf),
    "Softsign": (-1.0, 1.0),
    "Tanh": (-1.0, 1.0),
}
"""What comes out of an activation, with PyTorch's default keywords; what is not here is not bounded, or hardly (ELU, GELU)."""


def ends_with_weights(layers: Sequence[LayerFacts]) -> bool:
    """Say whether the last layer of the trunk has weights; layers that only move numbers are passed by."""
    last = _last(layers)
    return last is not None and bool(last.parameters)


def output_activation(layers: Sequence[LayerFacts]) -> LayerFacts | None:
    """Return the last layer of the trunk if it is a bounded activation; layers that only move numbers are passed by."""
    last = _last(layers)
    return last if last is not None and last.type in RANGES else None


def _last(layers: Sequence[LayerFacts]) -> LayerFacts | None:
    return next((layer for layer in reversed(layers) if layer.on_trunk and layer.type not in PASSING), None)
