"""Judging a network between steps: the loss and the metrics on the judged part, the best so far, and the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradclinic.contract.diagnosis import Metric, Outcome
from gradclinic.contract.training import MetricName
from gradclinic.history import History, Trivial
from gradclinic.training.criterion import trivial_output
from gradclinic.training.data import Part
from gradclinic.training.metrics import HIGHER_IS_BETTER, METRICS
from gradclinic.training.setup import Setup

BATCH = 1024
"""Rows that are judged at a time."""


@torch.no_grad()
def evaluate(setup: Setup) -> dict[str, float]:
    """Return `val_loss` and the metrics on the judged part. The network is left in training mode."""
    part = setup.data.judged
    outputs = _outputs(setup, part.inputs)
    values = {"val_loss": float(setup.criterion(outputs, part.targets))}
    answers = setup.criterion.answers(outputs)
    return values | {name: METRICS[name](answers, part.targets) for name in setup.metrics}


def _outputs(setup: Setup, inputs: Tensor) -> Tensor:
    """Return the network's outputs in evaluation mode, a batch at a time; the network is left in training mode."""
    rows = list(torch.split(inputs, BATCH))
    if len(rows) > 1 and len(rows[-1]) == 1:
        # A batch normalisation without running statistics cannot take a single row, in evaluation either.
        rows[-2:] = [torch.cat(rows[-2:])]
    setup.network.eval()
    try:
        return torch.cat([setup.network(batch) for batch in rows])
    finally:
        setup.network.train()


@torch.no_grad()
def judge_trivial(setup: Setup) -> Trivial:
    """Work out what the best predictor reaches that ignores its input."""
    shape = tuple(_outputs(setup, setup.data.train.inputs[:2]).shape[1:])
    width = shape[-1] if shape else 1
    constant = trivial_output(setup.criterion, setup.data.train, setup.data.facts.classes, width)

    def outputs(part: Part) -> Tensor:
        return constant.expand(len(part), *shape) if shape else constant.expand(len(part))

    def loss(part: Part) -> float:
        return float(setup.criterion(outputs(part), part.targets))

    judged = setup.data.judged
    metric = METRICS[setup.metrics[0]](setup.criterion.answers(outputs(judged)), judged.targets)
    return Trivial(train_loss=loss(setup.data.train), val_loss=loss(judged), metric=metric)


@dataclass
class Evaluations:
    """The last evaluation of a training, and the best of each of its numbers."""

    leading: MetricName
    last: dict[str, float] = field(default_factory=dict)
    best_loss: float = math.inf
    best_metric: float = math.nan
    best_step: int | None = None

    def add(self, values: dict[str, float], done: int) -> None:
        """Take in the evaluation after `done` steps."""
        self.last = values
        if values["val_loss"] < self.best_loss:
            self.best_loss, self.best_step = values["val_loss"], done
        metric = values[self.leading]
        better = metric > self.best_metric if HIGHER_IS_BETTER[self.leading] else metric < self.best_metric
        if math.isnan(self.best_metric) or better:
            self.best_metric = metric

    def outcome(self, history: History, setup: Setup) -> Outcome:
        """Say where the training ended. The training loss is the mean over the last epoch's worth of steps."""
        steps = setup.steps
        last_epoch = history["loss"].between(max(0, steps - setup.steps_per_epoch), steps).series()
        return Outcome(
            train_loss=_finite(float(last_epoch.mean())),
            val_loss=_finite(self.last["val_loss"]),
            metric=Metric(name=self.leading, value=_finite(self.last[self.leading])),
            steps=steps,
            best_val_loss=_finite(self.best_loss),
            best_metric=_finite(self.best_metric),
            best_step=self.best_step,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
