"""How well a training learned, on a scale that needs no knowledge of the task: skill.

Skill is 1 - loss / trivial loss, or the same of the metric: 0 is a predictor that ignores its input, 1 a perfect one. A
symptom becomes a finding by what it does to this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Severity
from gradclinic.history import History

FIRST_STEPS = 5
"""Steps whose mean loss stands in for the trivial predictor's where that is not known."""

LEAST_FALL = 0.05
"""Share of the first loss by which the last ones have to be below it for that to count as a fall."""

LEAST_LOSSES = 4 * FIRST_STEPS
"""Recorded losses for which that is done: the last ones of fewer are, in part or nearly, the first ones again."""


@dataclass(frozen=True)
class Learning:
    """Where a training stands between a trivial predictor and a perfect one.

    `loss_skill` and `metric_skill` are at most 1, below 0 where worse than trivial, None where nothing is known.
    """

    diverged: bool
    loss_skill: float | None
    metric_skill: float | None
    start_loss: float | None
    end_loss: float | None
    trivial_loss: float | None
    has_fallen: bool = False
    """Whether the loss fell clearly, where no trivial loss is known: how far it could fall is not known either."""

    @property
    def skills(self) -> tuple[float, ...]:
        """Those of the two that are known."""
        return tuple(skill for skill in (self.loss_skill, self.metric_skill) if skill is not None)

    def has_not_learned(self, skill: float) -> bool:
        """Say whether nothing shows that the model is clearly better than trivial."""
        return self.diverged or (bool(self.skills) and max(self.skills) < skill and not self.has_fallen)

    def is_harmed(self, skill: float) -> bool:
        """Say whether anything shows that it should be better."""
        return self.diverged or (bool(self.skills) and min(self.skills) < skill)

    def severity(self, thresholds: dict[str, float]) -> Severity:
        """Return how bad a symptom is that this training had."""
        if self.has_not_learned(thresholds["not_learned_skill"]):
            return "critical"
        return "warning" if self.is_harmed(thresholds["harmed_skill"]) else "info"


def judge_learning(history: History) -> Learning:
    """Work out how well a training learned, from its losses, its metric, and what is trivial."""
    facts = history.facts
    losses = history["loss"].series() if "loss" in history else np.empty(0)
    window = max(FIRST_STEPS, min(facts.steps_per_epoch or FIRST_STEPS, len(losses)))
    start, end = _start(losses), _mean(losses[-window:])
    outcome = facts.outcome
    trivial = facts.trivial.train_loss
    # Without a known trivial loss the first losses stand in: a fresh network knows nothing of its input.
    stand_in = start if len(losses) >= LEAST_LOSSES else None
    reference = trivial if trivial is not None else stand_in
    return Learning(
        diverged=bool(len(losses) and not np.isfinite(losses[-1]))
        or (outcome is not None and outcome.val_loss is None),
        loss_skill=_loss_skill(end, reference),
        metric_skill=_metric_skill(history),
        start_loss=start,
        end_loss=end,
        trivial_loss=trivial,
        has_fallen=trivial is None and _has_fallen(losses, start, end, window),
    )


def _start(losses: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of the first losses, or the very first where that is less: a step that throws the weights away is no start."""
    known = [value for value in (_mean(losses[:1]), _mean(losses[:FIRST_STEPS])) if value is not None]
    return min(known, default=None)


def _has_fallen(losses: npt.NDArray[np.float64], start: float | None, end: float | None, window: int) -> bool:
    """Say whether the last losses are below the first by more than a few percent, and by more than chance."""
    if start is None or end is None or len(losses) < LEAST_LOSSES:
        return False
    chance = 3.0 * float(losses[-window:].std()) / math.sqrt(window)
    return start - end > max(LEAST_FALL * abs(start), chance)


def _mean(losses: npt.NDArray[np.float64]) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):  # infinities of both signs, and sums too large, have no mean
        value = float(losses.mean()) if len(losses) else float("nan")
    return value if np.isfinite(value) else None


def _loss_skill(end: float | None, reference: float | None) -> float | None:
    if end is None or reference is None:
        return None
    if reference > 0:
        return 1.0 - end / reference
    # A loss of 0 or less bears no ratio; that it is above what a constant reaches says enough.
    return -math.inf if end > reference else None


def _metric_skill(history: History) -> float | None:
    facts = history.facts
    if facts.outcome is None or facts.outcome.metric is None or facts.trivial.metric is None:
        return None
    name, value, trivial = facts.outcome.metric.name, facts.outcome.metric.value, facts.trivial.metric
    if value is None:
        return None
    if name == "mae":
        return 1.0 - value / trivial if trivial > 0 else None
    return (value - trivial) / (1.0 - trivial) if trivial < 1 else None
