"""The verdict on one arm: its outcomes paired with those of the spec that it is compared with, and the findings."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gradclinic.contract.diagnosis import Cost, Effect, RuleId, Verdict
from gradclinic.contract.training import LEAST_SEEDS
from gradclinic.trials.arm import Arm
from gradclinic.trials.outcome import LEAST_EFFECT, Measure, Pair, mean, pairs_of
from gradclinic.trials.statistics import SIGNIFICANT, Paired, compare_pairs, corrected

EQUAL = 2 * LEAST_EFFECT
"""Two outcomes closer than this are as good as each other: the simpler change is the better one."""

_NAMES: Mapping[Measure, str] = {"score": "score", "val_skill": "val_loss"}


@dataclass(frozen=True)
class Comparison:
    """An arm beside the one that it is compared with: paired outcomes, the test, and its p-value after correction."""

    base: Arm
    arm: Arm
    measure: Measure
    pairs: tuple[Pair, ...]
    test: Paired | None
    p_value: float | None = None

    @property
    def gain(self) -> float:
        """The mean difference."""
        return mean([pair.difference for pair in self.pairs]) if self.pairs else 0.0

    @property
    def is_better(self) -> bool:
        """Whether the test says that it is better, by enough to care."""
        return self._is_significant and self.gain >= LEAST_EFFECT

    @property
    def is_worse(self) -> bool:
        """Whether the test says that it is worse, by enough to care."""
        return self._is_significant and self.gain <= -LEAST_EFFECT

    @property
    def is_equal(self) -> bool:
        """Whether the whole confidence interval lies within what counts as equal."""
        return self.test is not None and self.test.interval[0] >= -EQUAL and self.test.interval[1] <= EQUAL

    @property
    def _is_significant(self) -> bool:
        return self.p_value is not None and self.p_value < SIGNIFICANT and len(self.pairs) >= LEAST_SEEDS

    def is_within(self, seeds: Collection[int]) -> bool:
        """Whether it rests on no other seeds."""
        return all(pair.seed in seeds for pair in self.pairs)

    @property
    def metric(self) -> str:
        """What is compared, by name."""
        named = (result.metric for result in self.arm.results.values() if result.metric)
        return next(named, "score") if self.measure == "score" else _NAMES[self.measure]

    def rules_that(self, change: Literal["vanish", "ease", "appear"]) -> list[RuleId]:
        """List the findings above info that do so on most of the shared seeds on which they could."""
        of = {"vanish": self.base, "ease": self.base, "appear": self.arm}[change]
        happened: dict[str, Callable[[int, int], bool]] = {
            "vanish": lambda _before, after: after == 0,
            "ease": lambda before, after: after < before,
            "appear": lambda before, _after: before == 0,
        }
        return [rule for rule in of.harmful_rules() if self._mostly(rule, happened[change], of)]

    def _mostly(self, rule: RuleId, happened: Callable[[int, int], bool], of: Arm) -> bool:
        seeds = [pair.seed for pair in self.pairs if of.severity_on(pair.seed, rule) > 0]
        if 2 * len(seeds) <= len(self.pairs) and of is self.arm:
            return False  # a finding on the smaller part of the seeds was not brought in
        counted = sum(happened(self.base.severity_on(s, rule), self.arm.severity_on(s, rule)) for s in seeds)
        return 2 * counted > len(seeds)


def compare(base: Arm, arms: Sequence[Arm], seeds: Collection[int]) -> dict[str, Comparison]:
    """Compare arms, all that were looked at together, with one base, by the ids of their fixes.

    `seeds` are those of the first look: an arm with more of them was looked at twice.
    """
    found = {arm.id or "": _compare_one(base, arm) for arm in arms}
    tested = {
        # Who looks at a second outcome where the first shows nothing has looked twice; so has who asks for more seeds.
        name: one.test.p_value * (1 if one.measure == "score" else 2) * (1 if one.is_within(seeds) else 2)
        for name, one in found.items()
        if one.test is not None and len(one.pairs) >= LEAST_SEEDS
    }
    p_values = corrected({name: min(1.0, p) for name, p in tested.items()}, len(arms))
    return {
        name: Comparison(one.base, one.arm, one.measure, one.pairs, one.test, p_values.get(name))
        for name, one in found.items()
    }


def _compare_one(base: Arm, arm: Arm) -> Comparison:
    """Compare by the score; where that hardly differs, or there is none, by the loss if both have the same."""
    tests: dict[Measure, Comparison] = {}
    measures: tuple[Measure, ...] = ("score", "val_skill")
    resolution = max((r.resolution for r in (*base.results.values(), *arm.results.values())), default=0.0)
    for measure in measures:
        pairs = pairs_of(base.results, arm.results, measure)
        if pairs:
            grain = resolution if measure == "score" else 0.0
            test = compare_pairs([pair.difference for pair in pairs], grain)
            tests[measure] = Comparison(base, arm, measure, tuple(pairs), test)
    if not tests:
        return Comparison(base, arm, "score", (), None)
    first = tests.get("score")
    if first is not None and (abs(first.gain) >= LEAST_EFFECT or "val_skill" not in tests):
        return first
    second = tests["val_skill"]
    return second if first is None or abs(second.gain) >= LEAST_EFFECT else first


def verdict_of(compared: Comparison) -> Verdict:
    """Say what the trial showed.

    `verified` asks for both: an outcome that the test calls better, and a finding that is gone or milder on most seeds.
    With fewer than three seeds nothing is tested; a change that was given up there did not help.
    """
    if not compared.pairs:
        return "inconclusive"
    if len(compared.pairs) < LEAST_SEEDS:
        return "inconclusive" if compared.gain >= LEAST_EFFECT else "no_effect"
    if compared.is_worse:
        return "harmful"
    if compared.is_better:
        return "verified" if compared.rules_that("ease") else "inconclusive"
    return "no_effect" if compared.is_equal or compared.gain <= 0 else "inconclusive"


def effect_of(compared: Comparison) -> Effect:
    """Return what the comparison measured."""
    pairs, arm, base = compared.pairs, compared.arm, compared.base
    return Effect(
        metric=compared.metric,
        baseline=mean([pair.base for pair in pairs]) if pairs else None,
        fixed=mean([pair.tried for pair in pairs]) if pairs else None,
        difference_ci95=compared.test.interval if compared.test else None,
        p_value=compared.p_value,
        seeds=len(pairs),
        healthy_seeds=arm.healthy_seeds,
        findings_resolved=list(compared.rules_that("vanish")),
        findings_introduced=list(compared.rules_that("appear")),
        cost=_cost(base, arm),
    )


def _cost(base: Arm, arm: Arm) -> Cost:
    if not base.results or not arm.results:
        return Cost()
    times = [_seconds_of_all(one) for one in (base, arm)]
    parameters = [next(iter(one.results.values())).parameters for one in (base, arm)]
    return Cost(
        time=round(times[1] / times[0], 2) if times[0] > 0 else None,
        parameters=round(parameters[1] / parameters[0], 3) if parameters[0] else None,
    )


def _seconds_of_all(arm: Arm) -> float:
    """Return the time of a whole training: what a step took in the middle, for all steps that were planned."""
    return statistics.median(r.seconds / max(1, r.steps) * r.planned for r in arm.results.values())
