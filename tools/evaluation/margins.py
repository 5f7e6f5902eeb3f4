"""Margins: by which factor a threshold would have to move until a case is judged otherwise.

Found by judging the same history again with the threshold multiplied, so that no rule has to say what it compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradclinic.diagnosis import RULES, THRESHOLDS
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.rule import Rule
from gradclinic.history import History
from tools.evaluation.case import Labelled

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
    fired = {rule.id for rule in RULES if _fires(rule, history, {})}
    return [
        Flip(rule.id, name, case.id, rule.id in fired, _nearest(history, rule, name, rule.id in fired))
        for rule in RULES
        for name in rule.thresholds
        if rule.id in fired or rule.id not in case.may
    ]


def _nearest(history: History, rule: Rule, name: str, fired: bool) -> float | None:
    default = THRESHOLDS[name].default
    # A threshold is crossed in one direction: where the farthest values change nothing, none between them does.
    if all(_fires(rule, history, {name: default * end}) == fired for end in (FACTORS[-1], 1 / FACTORS[-1])):
        return None
    for factor in FACTORS:
        for moved in (factor, 1 / factor):
            if _fires(rule, history, {name: default * moved}) != fired:
                return moved
    return None


def _fires(rule: Rule, history: History, thresholds: Mapping[str, float]) -> bool:
    """Say whether a rule warns; it alone is asked, for the others do not look at what it says."""
    if any(signal not in history for signal in rule.signals):
        return False
    finding = rule.check(Case(history, thresholds))
    return finding is not None and finding.severity != "info"
