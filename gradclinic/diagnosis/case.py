"""What a rule looks at: a history, the thresholds, and what several rules work out from them, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from gradclinic.contract.diagnosis import Severity
from gradclinic.diagnosis.gains import Gains, backward_gains
from gradclinic.diagnosis.learning import Learning, judge_learning
from gradclinic.diagnosis.thresholds import thresholds_with
from gradclinic.history import History


class Case:
    """A history under judgement."""

    def __init__(self, history: History, overrides: Mapping[str, float] | None = None) -> None:
        self.history = history
        self.thresholds = thresholds_with(overrides)

    @cached_property
    def learning(self) -> Learning:
        """How well the training learned."""
        return judge_learning(self.history)

    @cached_property
    def severity(self) -> Severity:
        """How bad a symptom is that this training had, by how well it learned."""
        return self.learning.severity(self.thresholds)

    @cached_property
    def gains(self) -> Gains | None:
        """The backward gains along the trunk; None where they were not recorded."""
        return backward_gains(self.history)
