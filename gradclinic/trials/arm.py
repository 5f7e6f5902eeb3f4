"""An arm of a proof: one spec, what was changed in it, and how it came out on the seeds that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradclinic.contract.diagnosis import Fix, RuleId, Severity
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.trial import TrialResult
from gradclinic.trials.outcome import mean

_WEIGHT: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True)
class Arm:
    """A spec under trial. `fix` is None for the posted spec itself; `results` are by seed."""

    fix: Fix | None
    document: Mapping[str, Any]
    results: Mapping[int, TrialResult]

    @property
    def id(self) -> str | None:
        """The fix's id; None for the posted spec."""
        return self.fix.id if self.fix else None

    @cached_property
    def healthy_seeds(self) -> int:
        """On how many seeds it was healthy."""
        return sum(result.diagnosis.health == "healthy" for result in self.results.values())

    @cached_property
    def healthy_share(self) -> float:
        """The same, as a share of its seeds."""
        return self.healthy_seeds / len(self.results) if self.results else 0.0

    @property
    def score(self) -> float:
        """Its mean outcome, as far as it has one."""
        known = [result.score for result in self.results.values() if result.score is not None]
        return mean(known) if known else 0.0

    def severity_on(self, seed: int, rule: RuleId) -> int:
        """How bad a finding was on a seed: 0 where it was not there or did no harm, 2 for critical."""
        found = self.results[seed].diagnosis.findings
        return max((_WEIGHT[finding.severity] for finding in found if finding.rule == rule), default=0)

    def harmful_rules(self) -> list[RuleId]:
        """List the findings above info, of any seed."""
        found = (f.rule for r in self.results.values() for f in r.diagnosis.findings if f.severity != "info")
        return list(dict.fromkeys(found))


def relative_cost(spec: JobSpec, posted: JobSpec) -> float:
    """Estimate what a training of `spec` costs in trainings of `posted`: samples seen, whatever the model."""
    new, old = spec.training, posted.training
    if new.epochs is not None and old.epochs is not None:
        return new.epochs / old.epochs
    # Without epochs on both sides a step is a batch; what an epoch has in steps is not known on paper, nor needed: fixes
    # that set steps where there were epochs lengthen a training, and are few.
    if new.epochs is not None or old.epochs is not None:
        return 1.0
    return (new.total_steps(1) * new.batch_size) / max(1, old.total_steps(1) * old.batch_size)


def cost_of(result: TrialResult, baseline: TrialResult) -> float:
    """Return what a training cost, in trainings of the baseline: samples seen over those that the baseline was to see."""
    return result.steps * result.samples / max(1, baseline.planned * baseline.samples)
