"""What a rule looks at: a history, the thresholds, and what several rules work out from them, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from gradclinic.contract.diagnosis import Severity
from gradclinic.diagnosis.gains import Gains, backward_gains
from gradclinic.diagnosis.learning import Learning, judge_learning
from gradclinic.diagnosis.thresholds import thresholds_with
from gradclinic.history import History
from gradclinic.history.facts import Trivial


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

    @property
    def sees_all_layers(self) -> bool:
        """Whether the model was built from a spec, so that no activation is hidden in a user's own code."""
        # What a trivial predictor reaches only a training knows that has the data, too; frameworks know the steps planned.
        return self.history.facts.trivial != Trivial()

    def largest_update(self, before: int) -> tuple[float, str] | None:
        """Return the largest update of a weight before a step, relative to the weight, and whose it was."""
        if "update_ratio" not in self.history:
            return None
        table = self.history["update_ratio"].between(0, before)
        # Biases often start at 0, and any step moves those infinitely far.
        ratios = np.where(np.isfinite(table.values), table.values, -1.0)
        columns = [place for place, name in enumerate(table.subjects) if name.endswith("weight")]
        if not len(table.steps) or not columns:
            return None
        largest = ratios[:, columns].max(axis=0)
        place = int(np.argmax(largest))
        return float(largest[place]), table.subjects[columns[place]]
