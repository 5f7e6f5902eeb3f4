"""Judging a network between steps: the loss and the metrics on the judged part, the best so far, and the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gradclinic.contract.diagnosis import Metric, Outcome
from gradclinic.contract.training import HIGHER_IS_BETTER, MetricName
from gradclinic.history import History, Trivial
from gradclinic.training.criterion import trivial_output
from gradclinic.training.data import Part
from gradclinic.training.metrics import METRICS
from gradclinic.training.raised import RaisedByTorch, torch_may_raise
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
    """Work out what the best predictor reaches that ignores its input.

    Nothing where the network or its loss raises on the data at hand: the training will tell.
    """
    train, judged = setup.data.train, setup.data.judged
    try:
        with torch_may_raise():
            shape = tuple(_outputs(setup, train.inputs[:2]).shape[1:])
            train_loss, _ = _judge_constant(setup, train, shape)
            val_loss, answers = _judge_constant(setup, judged, shape)
            metric = METRICS[setup.metrics[0]](answers, judged.targets)
    except RaisedByTorch:
        return Trivial()
    if setup.spec.loss.reduction == "sum":
        # What is recorded of a step sums over its batch, not over the whole part.
        train_loss *= min(1.0, setup.spec.training.batch_size / len(train))
    return Trivial(train_loss=train_loss, val_loss=val_loss, metric=metric)


def _judge_constant(setup: Setup, part: Part, shape: tuple[int, ...]) -> tuple[float, Tensor]:
    """Return the loss of the best constant for a part, and its answers.

    It is taken from the part that is judged, not from the training part: no predictor that ignores its input does
    better there, by luck or otherwise.
    """
    outputs = trivial_output(setup.criterion, part.targets, shape).expand(len(part), *shape)
    return float(setup.criterion(outputs, part.targets)), setup.criterion.answers(outputs)


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

    def outcome(self, history: History, steps: int, steps_per_epoch: int) -> Outcome:
        """Say where the training ended after `steps`. Its training loss is the mean over the last epoch's worth."""
        losses = history["loss"].between(max(0, steps - steps_per_epoch), steps).series() if steps else np.empty(0)
        return Outcome(
            train_loss=_finite(float(losses.mean())) if len(losses) else None,
            val_loss=_finite(self.last.get("val_loss", math.nan)),
            metric=Metric(name=self.leading, value=_finite(self.last.get(self.leading, math.nan))),
            steps=steps,
            best_val_loss=_finite(self.best_loss),
            best_metric=_finite(self.best_metric),
            best_step=self.best_step,
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
