"""Early word: what is certain of a training while it still goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradclinic.contract.diagnosis import Finding
from gradclinic.contract.job import EarlyFinding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.diagnose import RULES
from gradclinic.diagnosis.fate import outcome_so_far, parameters_at_rest
from gradclinic.history import History, concatenate

SPACING = 1.25
"""Parts of a history after which it is judged again, over those at the last time: of n parts about 5 n are read in all."""


def certain_findings(history: History, thresholds: Mapping[str, float] | None = None) -> list[Finding]:
    """Return the findings that the diagnosis will have whatever the remaining steps do, causes first.

    Two things have to be certain of each: its severity, since the training is lost (`gradclinic.diagnosis.fate`), so that all of
    them are critical; and what it rests on, as its rule says by `certain`. Most trainings, sick ones too, have none.

    Args:
        history: What was recorded until now, in the middle of a training.
        thresholds: Overrides of documented thresholds, by name.
    """
    if history.facts.preflight is not None:  # nothing goes on there that anything could be certain of
        return []
    facts = history.facts.model_copy(update={"outcome": outcome_so_far(history)})
    case = Case(History(history.tables, facts), thresholds)
    if case.fate is None:
        return []
    asked = [rule for rule in RULES if rule.certain and all(signal in history for signal in rule.signals)]
    found = [finding for rule in asked if rule.certain and (finding := rule.certain(case))]
    return [finding for finding in found if finding.severity == "critical"]


class EarlyWord:
    """Judges a history while it grows, part by part, and remembers what it has said.

    A part that gives no reason to think that the training is lost costs a look at a few numbers; it is kept, not copied.
    """

    def __init__(self, thresholds: Mapping[str, float] | None = None) -> None:
        self.findings: list[EarlyFinding] = []
        self._thresholds = thresholds
        self._parts: list[History] = []
        self._next = 1.0

    def hear(self, part: History) -> list[EarlyFinding]:
        """Take in the next part, and return what has become certain with it."""
        self._parts.append(part)
        if len(self._parts) < self._next or not _may_be_lost(part):
            return []
        self._next = SPACING * len(self._parts)
        return self._judge(self._parts)

    def peek(self, part: History) -> list[EarlyFinding]:
        """Look at the beginning of a part that will come as a whole, and return what has become certain with it."""
        return self._judge([*self._parts, part])

    def _judge(self, parts: list[History]) -> list[EarlyFinding]:
        history = concatenate(parts)
        known = {finding.rule for finding in self.findings}
        done = (history.last_step or 0) + 1
        new = [
            EarlyFinding(rule=finding.rule, severity=finding.severity, step=done, summary=finding.summary)
            for finding in certain_findings(history, self._thresholds)
            if finding.rule not in known
        ]
        self.findings += new
        return new


def _may_be_lost(part: History) -> bool:
    """Say whether a part alone leaves it open: its last loss is no number, or some parameter hardly moved in it."""
    losses = part["loss"].series() if "loss" in part else np.empty(0)
    return bool(len(losses) and not np.isfinite(losses[-1])) or bool(parameters_at_rest(part))
