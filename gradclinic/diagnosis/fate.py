"""Whether a training is lost while it still goes on: when nothing that the remaining steps can do brings it to learn.

There are three ways, and each is a state that a step does not lead out of:

- `non_finite`: the weights are no numbers. A step from NaN ends in NaN, whatever the gradient (IEEE 754).
- `standing_still`: no weight moves. All data was seen without one moving, so that each step to come starts from the same
  weights, the same data and the same rate as one that led nowhere.
- `cut_off`: the first trained layer gets no gradient that could move it in the whole training, at the largest pace it ever
  had, and what stands behind it learned nothing from its random features in a good part of the training.

That something goes badly is none of these: a loss that rises comes back, a unit that is off may be woken by what is before it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from gradclinic.contract.diagnosis import Metric, Outcome, Severity
from gradclinic.diagnosis.gains import FIRST_STEPS, Gains
from gradclinic.history import History

Fate = Literal["non_finite", "standing_still", "cut_off"]

IN_A_ROW = 3
"""Steps in a row whose loss is not finite: one alone could be a batch's, before it reached the weights."""

NOWHERE = 1e-3
"""Way of a weight in all steps together, relative to it, that leads nowhere: that of one step of the usual size (cs231n)."""

EPOCHS = 2
"""Passes over the data that have to be seen."""

GOOD_PART = 0.25
"""Share of the planned steps after which what still learns would have shown something."""


def outcome_so_far(history: History) -> Outcome | None:
    """Return the state after the last evaluation in a history that goes on; None before the first."""
    if "val_loss" not in history or not len(history["val_loss"].steps):
        return None
    name = history.facts.metric
    value = history[name].series()[-1] if name is not None and name in history else np.nan
    loss = history["val_loss"].series()[-1]
    return Outcome(
        train_loss=None,
        val_loss=float(loss) if np.isfinite(loss) else None,
        metric=None if name is None else Metric(name=name, value=float(value) if np.isfinite(value) else None),
        steps=(history.last_step or 0) + 1,
    )


def fate_of(history: History, gains: Gains | None, severity: Severity, vanishing_gain: float) -> Fate | None:
    """Return the way in which the training is lost; None while it is not, or nobody can know.

    Args:
        history: What was recorded until now, with `outcome_so_far` as its outcome.
        gains: Its backward gains.
        severity: How bad a symptom is that this training had until now.
        vanishing_gain: Backward gain below which a gradient counts as vanishing.
    """
    if _is_non_finite(history):
        return "non_finite"
    planned, done = history.facts.steps_planned, (history.last_step or 0) + 1
    if severity != "critical" or planned is None or not _has_seen_all(history, done):
        return None
    still = parameters_at_rest(history)
    if _is_at_rest(history, still):
        return "standing_still"
    if done >= GOOD_PART * planned and _is_cut_off(gains, still, vanishing_gain):
        return "cut_off"
    return None


def parameters_at_rest(history: History) -> frozenset[str]:
    """Name the parameters that would get nowhere if every planned step were as long as the longest one until now."""
    planned = history.facts.steps_planned
    if planned is None or "update_ratio" not in history or not len(history["update_ratio"].steps):
        return frozenset()
    table = history["update_ratio"]
    largest = np.where(np.isnan(table.values), np.inf, table.values).max(axis=0) * planned
    return frozenset(name for name, way in zip(table.subjects, largest, strict=True) if way < NOWHERE)


def _is_non_finite(history: History) -> bool:
    """Say whether a gradient that was not finite went into the weights, and the losses since were not finite either."""
    if "loss" not in history or "grad_nonfinite" not in history:
        return False
    losses, counts = history["loss"], history["grad_nonfinite"]
    finite = np.flatnonzero(np.isfinite(losses.series()))
    since = losses.steps[finite[-1] + 1 if len(finite) else 0 :]
    if len(since) < IN_A_ROW:
        return False
    # The last loss has to come after the step that such a gradient was taken in.
    after = counts.between(int(since[0]), int(since[-1]))
    return bool((after.values > 0).any())


def _has_seen_all(history: History, done: int) -> bool:
    """Say whether the data was seen and judged often enough; without an evaluation nobody knows what was learned."""
    per_epoch = history.facts.steps_per_epoch
    outcome = history.facts.outcome
    return per_epoch is not None and done >= EPOCHS * per_epoch and outcome is not None and outcome.metric is not None


def _is_at_rest(history: History, still: frozenset[str]) -> bool:
    """Say whether no parameter can get anywhere. Without a gradient at any step none will: they all start from here again.

    With one, a rate that grows could still make something of it.
    """
    if not still.issuperset(history["update_ratio"].subjects if "update_ratio" in history else [""]):
        return False
    no_gradient = "grad_norm" in history and not history["grad_norm"].values.any()
    return no_gradient or history.facts.rate_is_constant is True


def _is_cut_off(gains: Gains | None, still: frozenset[str], vanishing_gain: float) -> bool:
    if gains is None or len(gains.steps) <= FIRST_STEPS or not (gains.total < np.log10(vanishing_gain)).all():
        return False
    first = gains.layers[0].parameters
    return bool(first) and still.issuperset(first)
