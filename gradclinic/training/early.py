"""An observer that judges a training while it goes on, and ends one that is lost where its spec asks for that."""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.contract.diagnosis import RuleId
from gradclinic.contract.job import EarlyFinding
from gradclinic.contract.spec import JobSpec
from gradclinic.diagnosis import EarlyWord
from gradclinic.history import History
from gradclinic.training.loop import Observer


class EarlyObserver(Observer):
    """Calls `on_findings` as findings become certain; override that. What else it overrides has to call this one's."""

    def __init__(self, spec: JobSpec) -> None:
        self._word = EarlyWord(spec.diagnosis.thresholds)
        self._ends = spec.diagnosis.stop_on == "critical"

    def on_findings(self, findings: Sequence[EarlyFinding]) -> None:
        """Hear that more is certain: all that is until now, each once, of one step causes first. All are critical."""

    def on_chunk(self, part: History) -> None:
        """Judge the history with this part."""
        self._tell(self._word.hear(part))

    def on_non_finite(self, part: History) -> None:
        """Judge the history at once: where the weights are no numbers there is nothing to wait for."""
        self._tell(self._word.peek(part))

    def should_end(self) -> bool:
        """Say whether something is certain, if the spec has `"stop_on": "critical"`."""
        return self._ends and bool(self._word.findings)

    def ended_by(self) -> RuleId | None:
        """Name the first cause of those that are certain."""
        return self._word.findings[0].rule if self.should_end() else None

    def _tell(self, new: Sequence[EarlyFinding]) -> None:
        if new:
            self.on_findings(tuple(self._word.findings))
