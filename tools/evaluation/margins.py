"""Margins: by which factor a threshold would have to move until a case is judged otherwise.

Found by judging the same history again with the threshold multiplied, so that no rule has to say what it compares.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradclinic.diagnosis import RULES, THRESHOLDS, diagnose
from gradclinic.history import History
from tools.evaluation.case import Labelled
from tools.evaluation.judging import Judged

FACTORS: tuple[float, ...] = tuple(2.0 ** (step / 4) for step in range(1, 29))
"""By how much a threshold is moved either way: up to 128 times, in steps of a fifth."""


@dataclass(frozen=True)
class Flip:
    """The nearest value of a threshold at which a rule's verdict on a case is another; None within 128 times of it."""

    rule: str
    threshold: str
    case: str
    fired: bool
    factor: float | None


def flips_of(case: Labelled, history: History) -> list[Flip]:
    """Return how far each threshold of each rule is from judging the case otherwise."""
    fired = Judged(case, 0, diagnose(history)).fired
    return [
        Flip(rule.id, name, case.id, rule.id in fired, _nearest(case, history, rule.id, name, rule.id in fired))
        for rule in RULES
        for name in rule.thresholds
        if rule.id in fired or rule.id not in case.may
    ]


def _nearest(case: Labelled, history: History, rule: str, name: str, fired: bool) -> float | None:
    default = THRESHOLDS[name].default
    for factor in FACTORS:
        for moved in (factor, 1 / factor):
            judged = Judged(case, 0, diagnose(history, {name: default * moved}))
            if (rule in judged.fired) != fired:
                return moved
    return None
