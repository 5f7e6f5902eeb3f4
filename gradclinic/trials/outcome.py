"""What two trainings share that can be compared: a number of which more is better, the same whatever the fix changed.

A validation metric is shared by all specs of one task. A validation loss is so only where the loss itself is the same,
and is taken as what it gained on a trivial predictor, so that the scale of the targets does not matter. Nothing counts as
less than the trivial predictor reaches: a training that ended in NaN is as useless as one that learned nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gradclinic.contract.trial import TrialResult

Measure = Literal["score", "val_skill"]

LEAST_EFFECT = 0.01
"""A difference below which nobody would change a spec: one point of accuracy, of r2, or of a loss's gain."""


@dataclass(frozen=True)
class Pair:
    """One seed: the outcome of the spec that is compared with, and of the one that is tried."""

    seed: int
    base: float
    tried: float

    @property
    def difference(self) -> float:
        """What the change gained on this seed."""
        return self.tried - self.base


def pairs_of(base: Mapping[int, TrialResult], tried: Mapping[int, TrialResult], measure: Measure) -> list[Pair] | None:
    """Return the outcomes (one a seed) of the seeds on which both were trained; None where they share no such outcome."""
    pairs = []
    for seed in sorted(base.keys() & tried.keys()):
        values = _shared(base[seed], tried[seed], measure)
        if values is None:
            return None
        pairs.append(Pair(seed, *values))
    return pairs


def gain_of(base: TrialResult, tried: TrialResult) -> float | None:
    """Return what a change gained on one seed: in the score or, where that hardly differs, in the loss they share.

    None where they share neither.
    """
    score = _shared(base, tried, "score")
    if score is not None and abs(score[1] - score[0]) >= LEAST_EFFECT:
        return score[1] - score[0]
    loss = _shared(base, tried, "val_skill")
    if loss is not None:
        return loss[1] - loss[0]
    return score[1] - score[0] if score is not None else None


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return sum(values) / len(values)


def _shared(base: TrialResult, tried: TrialResult, measure: Measure) -> tuple[float, float] | None:
    if measure == "score":
        if base.score is None or tried.score is None or base.metric != tried.metric:
            return None
        return base.score, tried.score
    if base.val_skill is None or tried.val_skill is None or base.loss != tried.loss:
        return None
    return base.val_skill, tried.val_skill
