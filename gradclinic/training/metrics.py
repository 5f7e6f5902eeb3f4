"""The metrics that a training is judged by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradclinic.contract.dataset import Task
from gradclinic.contract.training import MetricName, Training


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of guesses that are right: of scores (N, ..., C) the largest, of one value the nearest.

    Targets are class indices (N, ...), or vectors (N, ..., C) of zeros and a one. A single output stands for the class
    itself, so that a probability is cut at 0.5. A logit has to be made one first.
    """
    classes = targets.argmax(dim=-1) if targets.is_floating_point() else targets
    if outputs.numel() == classes.numel():
        guesses = outputs.reshape(classes.shape).round().to(torch.int64)
    else:
        guesses = outputs.argmax(dim=-1)
    return float((guesses == classes).to(torch.float64).mean())


def mae(outputs: Tensor, targets: Tensor) -> float:
    """Return the mean absolute error of outputs against targets of the same shape."""
    return float((outputs.double() - targets.double()).abs().mean())


def r2(outputs: Tensor, targets: Tensor) -> float:
    """Return 1 - residual / total sum of squares: 1 is perfect, 0 as good as the mean, below that worse."""
    outputs, targets = outputs.double(), targets.double()
    residual = ((targets - outputs) ** 2).sum()
    total = ((targets - targets.mean(dim=0)) ** 2).sum()
    return float(1 - residual / total) if total > 0 else float("nan")


METRICS: dict[MetricName, Callable[[Tensor, Tensor], float]] = {"accuracy": accuracy, "mae": mae, "r2": r2}


def metrics_of(training: Training, task: Task) -> tuple[MetricName, ...]:
    """Return the metrics to evaluate, the leading one first: those asked for, or the one that fits the task.

    What early stopping monitors is evaluated, too.
    """
    asked: tuple[MetricName, ...] = training.metrics or (("accuracy",) if task == "classification" else ("r2",))
    monitor = training.early_stopping.monitor if training.early_stopping else "val_loss"
    return asked if monitor == "val_loss" or monitor in asked else (*asked, monitor)
