"""The examples that the API's documentation shows; the same training as `examples/deep-sigmoid-digits.json`."""

from __future__ import annotations

from typing import Any

DEEP_SIGMOID: dict[str, Any] = {
    "name": "deep-sigmoid-digits",
    "labels": {"team": "vision"},
    "model": {
        "layers": [
            {"type": "Linear", "out_features": 64},
            {"type": "Sigmoid"},
            {
                "type": "Repeat",
                "times": 18,
                "layers": [{"type": "Linear", "out_features": 64}, {"type": "Sigmoid"}],
            },
            {"type": "Linear", "out_features": 10},
        ],
        "init": {"weight": {"type": "xavier_normal_"}, "bias": {"type": "zeros_"}},
    },
    "data": {"type": "digits", "validation_split": 0.2, "normalize": True},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "scheduler": None,
    "training": {"steps": 400, "batch_size": 64, "seed": 0},
    "recording": {"every": 1},
    "diagnosis": {"thresholds": {}},
    "verification": {"fixes": 3, "seeds": 3},
}
"""Twenty sigmoid layers: the first ones get no gradient, and nothing is learned."""

SWEEP: dict[str, Any] = {
    "name": "rates-and-batches",
    "model": {
        "layers": [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    },
    "data": {"type": "digits"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 200},
    "sweep": {"/optimizer/lr": [0.1, 0.01, 0.001], "/training/batch_size": [32, 64]},
}
"""Six jobs: three learning rates, each with two batch sizes."""
