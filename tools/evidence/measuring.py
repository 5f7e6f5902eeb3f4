"""What a remedy did to a fault: its best setting, the share of the gap that it closed, and a word for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gradclinic.contract.diagnosis import Fix, Verdict
from gradclinic.contract.trial import TrialResult
from gradclinic.trials.arm import Arm
from gradclinic.trials.judging import Comparison, compare, effect_of, verdict_of
from gradclinic.trials.outcome import mean, pairs_of
from gradclinic.trials.statistics import compare_pairs
from tools.evidence.faults import Fault
from tools.evidence.running import Tried

Word = Literal["cured", "helps", "nothing", "unclear", "harms"]

CURED = 0.7
"""Share of the gap from which a fault counts as cured, as in the labels of the cases."""

HELPS = 0.2
"""Share of the gap below which a remedy counts as none, likewise."""


@dataclass(frozen=True)
class Cell:
    """One remedy on one fault, at its best setting; `share` and `interval` are of the gap to the best known outcome."""

    fault: Fault
    remedy: str
    setting: str
    base: float
    tried: float
    share: float
    interval: tuple[float, float]
    p_value: float
    verdict: Verdict
    resolved: bool
    """Whether the fault's own finding is gone, or does no harm, on most seeds."""
    settings: int
    word: Word


@dataclass(frozen=True)
class Ground:
    """A fault's unchanged spec: its outcome, the best known one, which remedy reached that, and on how many seeds it was found."""

    fault: Fault
    base: float
    best: float
    best_by: str
    metric: str
    found: int
    seeds: int


@dataclass(frozen=True)
class Measured:
    """All that was measured; a remedy that is not applicable to a fault has no cell there."""

    grounds: tuple[Ground, ...]
    cells: tuple[Cell, ...]
    trainings: int
    seeds: tuple[int, ...]

    def cell(self, remedy: str, fault: str) -> Cell | None:
        """Return what a remedy did to a fault; None where it was not applicable."""
        return next((one for one in self.cells if one.remedy == remedy and one.fault.id == fault), None)


def measure(outcomes: Iterable[tuple[Tried, TrialResult]]) -> Measured:
    """Work out every cell from the outcomes of all trainings."""
    arms: dict[tuple[str, str | None, str | None], dict[int, TrialResult]] = {}
    faults: dict[str, Fault] = {}
    for tried, result in outcomes:
        arms.setdefault((tried.fault.id, tried.remedy, tried.setting), {})[result.seed] = result
        faults[tried.fault.id] = tried.fault
    grounds, cells = [], []
    for fault in faults.values():
        of_it = {(r, s): results for (name, r, s), results in arms.items() if name == fault.id}
        base = Arm(None, fault.document, of_it.pop((None, None)))
        ground = _ground(fault, base, of_it)
        grounds.append(ground)
        for remedy in dict.fromkeys(remedy for remedy, _ in of_it):
            settings = {s or "": results for (r, s), results in of_it.items() if r == remedy}
            cells.append(_cell(ground, base, remedy or "", settings))
    seeds = sorted({seed for results in arms.values() for seed in results})
    return Measured(tuple(grounds), tuple(cells), sum(map(len, arms.values())), tuple(seeds))


def _ground(
    fault: Fault, base: Arm, tried: Mapping[tuple[str | None, str | None], Mapping[int, TrialResult]]
) -> Ground:
    best, by = max(((_score(results), remedy or "") for (remedy, _), results in tried.items()), default=(1.0, ""))
    found = sum(base.severity_on(seed, fault.rule) > 0 for seed in base.results)
    metric = next((result.metric for result in base.results.values() if result.metric), "score")
    return Ground(fault, _score(base.results), best, by, metric, found, len(base.results))


def _cell(ground: Ground, base: Arm, remedy: str, settings: Mapping[str, Mapping[int, TrialResult]]) -> Cell:
    """Judge every setting and return the best; Holm's correction counts all that were looked at."""
    tried = [Arm(_fix(name, ground.fault), {}, results) for name, results in settings.items()]
    compared = compare(base, tried, base.results)
    best = max(compared.values(), key=lambda one: _score(one.arm.results))
    gap = ground.best - ground.base
    gains = [pair.difference for pair in pairs_of(base.results, best.arm.results, "score") or ()]
    test = compare_pairs(gains, max((one.resolution for one in base.results.values()), default=0.0))
    interval = test.interval if test else (float("nan"), float("nan"))
    share = mean(gains) / gap if gap > 0 else 0.0
    resolved = ground.fault.rule in best.rules_that("vanish")
    return Cell(
        fault=ground.fault,
        remedy=remedy,
        setting=best.arm.id or "",
        base=ground.base,
        tried=_score(best.arm.results),
        share=share,
        interval=(interval[0] / gap, interval[1] / gap) if gap > 0 else interval,
        p_value=effect_of(best).p_value or 0.0,
        verdict=verdict_of(best),
        resolved=resolved,
        settings=len(tried),
        word=_word(best, share, resolved),
    )


def _word(compared: Comparison, share: float, resolved: bool) -> Word:
    if compared.is_worse:
        return "harms"
    if compared.is_better and share >= HELPS:
        return "cured" if share >= CURED and resolved else "helps"
    return "unclear" if share >= HELPS else "nothing"


def _score(results: Mapping[int, TrialResult]) -> float:
    known: Sequence[float] = [one.score for one in results.values() if one.score is not None]
    return mean(known) if known else 0.0


def _fix(setting: str, fault: Fault) -> Fix:
    return Fix(id=setting, kind="optimizer", title=setting, addresses=[fault.rule], patch=[], why="")
