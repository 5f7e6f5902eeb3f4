"""What was measured of a training, and of short ones beside it, that a fix can set its values by instead of by habit.

Everything is optional: of a history from elsewhere, or on paper alone, nothing or little is known, and each fix says what it
does then. Nothing is trained here (`gradclinic.training.range_test` is).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.history import WHOLE_STEP, History

PERCENTILES = (10, 50, 90)
"""Of the gradient's norms; AutoClip (Seetharaman et al. 2020) found the tenth to train best, and little to hang on it."""

FALLEN = 0.1
"""Share of its largest value at which a learning rate has fallen so far that little is learned any more."""

GROWN = 2.0
"""A loss so many times its first one says that the healthy part of a training is over."""


class Measured(ResultModel):
    """Values that stand for one spec on its data."""

    suggested_lr: float | None = Field(None, description="Of the posted optimizer, by a learning rate range test.")
    adam_lr: float | None = Field(None, description="Of Adam in its place, likewise; null where it is adaptive itself.")
    unclipped_lr: float | None = Field(
        None,
        description="Of the posted optimizer without the posted clipping, likewise; null where that is not in question.",
    )
    initial_grad_norm: float | None = Field(None, description="Norm of the whole gradient before the first update.")
    initial_weight_norm: float | None = Field(None, description="Norm of all parameters after the first update.")
    grad_norm_percentile: dict[int, float] = Field(
        default_factory=dict,
        description="Percentiles of the norm of the whole gradient, while the training was healthy.",
    )
    healthy_steps: int | None = Field(None, description="Steps before the loss grew or a number was not finite.")
    steps: int | None = Field(None, description="Steps that were planned.")
    steps_per_epoch: int | None = None
    lr_fell_at: int | None = Field(None, description="Steps done when a schedule had cut the rate to a tenth for good.")
    parameters: int | None = Field(None, description="Parameters of the model.")
    best_step: int | None = Field(None, description="Steps done when the validation loss was smallest.")
    batch_size: int | None = None
    noise_scale: float | None = Field(None, description="Gradient noise scale at the end, in samples; may be infinite.")
    input_shape: tuple[int, ...] | None = Field(
        None, description="Of one sample, where the spec alone does not say it."
    )
    classes: int | None = Field(None, description="Classes asked for, likewise; null of a regression.")
    class_shares: list[float] = Field(default_factory=list, description="Share of each class in the training part.")
    loss_fall: float | None = Field(
        None, description="Share of its mean that the loss lost from the last fifth of the steps but one to the last."
    )


def read_history(history: History) -> Measured:
    """Read from a history what fixes can use."""
    facts = history.facts
    losses = history["loss"].series() if "loss" in history else np.empty(0)
    norms, at = _gradient_norms(history)
    healthy = _healthy_steps(losses)
    early = norms[(at < healthy) & np.isfinite(norms) & (norms > 0)] if healthy else np.empty(0)
    first = float(norms[0]) if len(norms) and np.isfinite(norms[0]) else None
    return Measured(
        initial_grad_norm=first,
        initial_weight_norm=_initial_weight_norm(history),
        grad_norm_percentile={p: float(np.percentile(early, p)) for p in PERCENTILES} if len(early) else {},
        healthy_steps=healthy if len(losses) else None,
        steps=facts.steps_planned,
        steps_per_epoch=facts.steps_per_epoch,
        lr_fell_at=_lr_fell_at(history),
        parameters=facts.parameters,
        best_step=facts.outcome.best_step if facts.outcome else None,
        batch_size=facts.batch_size,
        noise_scale=facts.noise_scale,
        class_shares=facts.targets.class_shares if facts.targets else [],
        loss_fall=_loss_fall(losses),
    )


def _gradient_norms(history: History) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the norm (n,) of the whole gradient at each record, and the steps (n,) of the records."""
    if "grad_norm" not in history:
        return np.empty(0), np.empty(0, np.int64)
    table = history["grad_norm"]
    # A table of someone else's may have the parameters' norms alone.
    norms = table.series() if WHOLE_STEP in table.subjects else np.hypot.reduce(table.values, axis=1)
    return norms, np.asarray(table.steps, np.int64)


def _healthy_steps(losses: npt.NDArray[np.float64]) -> int:
    """Count the steps until the loss first was not finite, or clearly above the first one."""
    if not len(losses) or not np.isfinite(losses[0]):
        return 0
    bad = ~np.isfinite(losses) | (losses > GROWN * abs(losses[0]))
    return int(np.argmax(bad)) if bad.any() else len(losses)


def _initial_weight_norm(history: History) -> float | None:
    if "weight_norm" not in history or not len(history["weight_norm"].steps):
        return None
    table = history["weight_norm"]
    columns = [place for place, name in enumerate(table.subjects) if name != WHOLE_STEP]
    norm = float(np.hypot.reduce(table.values[0, columns])) if columns else float("nan")
    return norm if np.isfinite(norm) else None


def _lr_fell_at(history: History) -> int | None:
    """Return the first step after which the rate stayed below a tenth of its largest; None where it did not."""
    if "lr" not in history or not len(history["lr"].steps):
        return None
    rates = history["lr"].series()
    high = rates >= FALLEN * rates.max()
    last = int(np.max(np.nonzero(high)[0], initial=-1))
    return None if last + 1 >= len(rates) else int(history["lr"].steps[last + 1])


def _loss_fall(losses: npt.NDArray[np.float64]) -> float | None:
    fifth = len(losses) // 5
    before, last = losses[-2 * fifth : -fifth], losses[-fifth:]
    if not fifth or not np.isfinite(losses[-2 * fifth :]).all() or not before.mean() > 0:
        return None
    return 1.0 - float(last.mean()) / float(before.mean())
