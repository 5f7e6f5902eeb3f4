"""Made-up histories: a training in which nothing is the matter but how far it got, and what can be laid into it.

The network is `one` (Linear), `between` (Tanh), `two` (Linear), trained for 100 steps on ten equally frequent classes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Metric, Outcome
from gradclinic.history import WHOLE_STEP, History, InputFacts, LayerFacts, RunFacts, SignalTable, TargetFacts, Trivial

Level = Literal["failed", "harmed", "well"]
Signal = tuple[tuple[str, ...], npt.NDArray[np.float64]]

STEPS = 100
TRIVIAL_LOSS = float(np.log(10))
LOSSES: dict[Level, float] = {"failed": TRIVIAL_LOSS, "harmed": 0.6 * TRIVIAL_LOSS, "well": 0.05 * TRIVIAL_LOSS}
ACCURACIES: dict[Level, float] = {"failed": 0.1, "harmed": 0.46, "well": 0.97}
"""Skills of 0, 0.4 and 0.95 or more: on either side of both thresholds, in the loss as in the metric."""

LAYERS = (
    LayerFacts(name="one", type="Linear", parameters=["one.weight", "one.bias"]),
    LayerFacts(name="between", type="Tanh"),
    LayerFacts(name="two", type="Linear", parameters=["two.weight", "two.bias"]),
)
PARAMETERS = ("one.weight", "one.bias", "two.weight", "two.bias")


def whole(values: npt.ArrayLike) -> Signal:
    """A signal of the step as a whole."""
    return (WHOLE_STEP,), np.asarray(values, np.float64)[:, None]


def each(subjects: tuple[str, ...], *columns: float | npt.ArrayLike) -> Signal:
    """A signal of several subjects: a column each, or a number for all steps."""
    return subjects, np.column_stack([np.broadcast_to(np.asarray(column, np.float64), STEPS) for column in columns])


def course(level: Level) -> npt.NDArray[np.float64]:
    """A loss that falls for twenty steps, and stays where it is."""
    falling = np.linspace(TRIVIAL_LOSS, LOSSES[level], 20)
    return np.concatenate([falling, np.full(STEPS - 20, LOSSES[level])])


def outcome(level: Level, **more: Any) -> Outcome:
    """Where a training of that level ends."""
    known = {
        "train_loss": LOSSES[level],
        "val_loss": LOSSES[level],
        "metric": Metric(name="accuracy", value=ACCURACIES[level]),
        "best_metric": ACCURACIES[level],
        "steps": STEPS,
    }
    return Outcome(**(known | more))


def history(level: Level, signals: dict[str, Signal | None] | None = None, **facts: Any) -> History:
    """Make the history of a training of that level; `signals` and `facts` replace its own, None takes a signal away."""
    layers = ("one", "between", "two")
    known: dict[str, Signal | None] = {
        "loss": whole(course(level)),
        "val_loss": whole(course(level)),
        "lr": whole(np.full(STEPS, 0.1)),
        "clipped": whole(np.zeros(STEPS)),
        "grad_norm": each((WHOLE_STEP, *PARAMETERS), 2.0, 1.0, 1.0, 1.0, 1.0),
        "grad_nonfinite": each(PARAMETERS, 0, 0, 0, 0),
        "update_ratio": each(PARAMETERS, 0.01, 5.0, 0.01, 5.0),
        "weight_norm": each(PARAMETERS, 1.0, 1.0, 1.0, 1.0),
        "activation_grad_norm": each(layers, 1.0, 1.0, 1.0),
        "dead_fraction": each(("between",), 0.0),
        "saturated_fraction": each(("between",), 0.0),
    } | (signals or {})
    tables = {
        name: SignalTable(np.arange(len(signal[1]), dtype=np.int64), *signal)
        for name, signal in known.items()
        if signal
    }
    told: dict[str, Any] = {
        "layers": list(LAYERS),
        "loss": "CrossEntropyLoss",
        "task": "classification",
        "steps_planned": STEPS,
        "steps_per_epoch": 10,
        "batch_size": 16,
        "noise_scale": 1.0,
        "inputs": InputFacts(largest_scale=1.0, smallest_scale=1.0),
        "targets": TargetFacts(class_shares=[0.1] * 10),
        "trivial": Trivial(train_loss=TRIVIAL_LOSS, val_loss=TRIVIAL_LOSS, metric=0.1),
        "outcome": outcome(level),
    }
    return History(tables, RunFacts(**(told | facts)))
