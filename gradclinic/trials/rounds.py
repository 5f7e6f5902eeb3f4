"""One round of a proof: several arms against one base, from a first look on one seed to a verdict on several.

What is trained next follows from what was trained alone, so that it is the same whoever asks, in whatever order the
trainings came in. The stages are those of successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943) with seeds in
place of steps: every arm gets one seed, the better half of what helped there gets all seeds, and what is promising but not
proven two more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gradclinic.contract.training import LEAST_SEEDS
from gradclinic.contract.trial import TrialResult
from gradclinic.trials.arm import Arm
from gradclinic.trials.judging import EQUAL, Comparison, compare, verdict_of
from gradclinic.trials.outcome import LEAST_EFFECT, gain_of

MORE_SEEDS = 2
"""Seeds that a promising but inconclusive arm gets on top."""


@dataclass(frozen=True)
class Round:
    """Arms against a base. `seeds` are those that the spec asks for, the baseline's own first."""

    number: int
    base: Arm
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    keeps_all: bool = False
    """Whether every arm that helped gets all seeds, and not the better half alone."""

    def stages(self) -> Iterator[list[list[tuple[Arm, int]]]]:
        """Yield the trainings that each stage lacks, in groups that are worth nothing in parts, the most important first.

        What a stage wants follows from those before it: ask for the next one only when this one lacks nothing that can be had.
        """
        yield [[(arm, self._first_seed)] for arm in self.arms if not arm.is_done(self._first_seed)]
        yield self._by_seed(self.kept(), self.seeds)
        yield self._by_seed(self._open_ones(), self._more_seeds)

    def as_judged(self) -> Round:
        """Return the round with the results that it asked for itself: a later one may have trained more of its arms."""
        open_ones = self._open_ones()
        return self._cut(frozenset(arm.id for arm in (self.base, *open_ones)) if open_ones else frozenset())

    def expected(self) -> int:
        """Return how many trainings the stage after the first look will want, as far as can be told before it."""
        if all(arm.is_done(self._first_seed) for arm in self.arms):
            return 0
        return (self._most_kept + 1) * (len(self.seeds) - 1)

    def compared(self) -> dict[str, Comparison]:
        """Compare every arm that was trained with the base."""
        tried = [arm for arm in self.arms if arm.results]
        return compare(self.base, tried, self.seeds)

    def kept(self) -> list[Arm]:
        """Return the arms worth more seeds: what helped on the first one, no clearly better arm beside it."""
        helped = [arm for arm in self.arms if self._helped(arm)]
        if self.keeps_all:
            return helped
        # Healthy before better: a finding that is left is a second problem to mend.
        rivals = [arm for arm in helped if self._is_healthy(arm)] or helped
        gains = {arm.id: self._gain_of(arm) or 0.0 for arm in rivals}
        best = max(gains.values(), default=0.0)
        near = [arm for arm in rivals if best - gains[arm.id] <= EQUAL]
        return sorted(near, key=_expense)[: self._most_kept]

    @property
    def _first_seed(self) -> int:
        return self.seeds[0]

    @property
    def _most_kept(self) -> int:
        return len(self.arms) if self.keeps_all else max(1, len(self.arms) // 2)

    @property
    def _more_seeds(self) -> range:
        return range(self.seeds[-1] + 1, self.seeds[-1] + 1 + max(MORE_SEEDS, LEAST_SEEDS - len(self.seeds)))

    def _by_seed(self, arms: Sequence[Arm], seeds: Iterable[int]) -> list[list[tuple[Arm, int]]]:
        """Return what some arms lack on some seeds, a seed a group: an arm without its control, or the other way, shows nothing."""
        wanted = ([(arm, seed) for arm in (self.base, *arms) if not arm.is_done(seed)] for seed in seeds if arms)
        return [group for group in wanted if group]

    def _open_ones(self) -> list[Arm]:
        """Return the kept arms that seem to help where the seeds of the spec do not prove it: they get two seeds more."""
        # Decided by those alone: the answer must not change once the two are there.
        compared = self._cut(frozenset()).compared()
        return [arm for arm in self.kept() if _is_promising(compared[arm.id or ""])]

    def _cut(self, longer: Collection[str | None]) -> Round:
        """Return the round with the seeds of the spec alone, but for some arms."""
        base, *arms = (arm if arm.id in longer else arm.only(self.seeds) for arm in (self.base, *self.arms))
        return Round(self.number, base, tuple(arms), self.seeds, self.keeps_all)

    def _helped(self, arm: Arm) -> bool:
        result, gain = arm.results.get(self._first_seed), self._gain_of(arm)
        if result is None or result.hopeless or gain is None:
            return False
        # What makes a spec healthy at no loss is worth proving also where the outcome hardly moves.
        mended = self._is_healthy(arm) and not _healthy(self.base.results[self._first_seed])
        return gain >= (-LEAST_EFFECT if mended else LEAST_EFFECT)

    def _gain_of(self, arm: Arm) -> float | None:
        """Return what an arm gained on the first seed; None where it was not trained there, or shares no outcome with its base."""
        base, tried = (one.results.get(self._first_seed) for one in (self.base, arm))
        return gain_of(base, tried) if base is not None and tried is not None else None

    def _is_healthy(self, arm: Arm) -> bool:
        return _healthy(arm.results[self._first_seed])


def _healthy(result: TrialResult) -> bool:
    return result.diagnosis.health == "healthy"


def _is_promising(compared: Comparison) -> bool:
    """Whether it was better so far, and more seeds could prove it: not where all that is left is the finding."""
    return verdict_of(compared) == "inconclusive" and compared.gain >= LEAST_EFFECT and not compared.is_better


def best_of(candidates: Sequence[Comparison]) -> Comparison | None:
    """Return the arm to take: the healthier, then the better, and of equally good ones the cheaper and simpler."""
    if not candidates:
        return None
    healthiest = max(one.arm.healthy_share for one in candidates)
    rivals = [one for one in candidates if one.arm.healthy_share == healthiest]
    best = max(one.arm.score for one in rivals)
    return min((one for one in rivals if best - one.arm.score <= EQUAL), key=lambda one: _expense(one.arm))


def _expense(arm: Arm) -> tuple[int, int, int]:
    """Order by what a change costs: samples to train on, parameters, and how much of the spec it touches.

    Not by time, which is noise where two are nearly equal: the same job recommends the same fix.
    """
    result = next(iter(arm.results.values()))
    return result.planned * result.samples, result.parameters, len(arm.fix.patch) if arm.fix else 0
