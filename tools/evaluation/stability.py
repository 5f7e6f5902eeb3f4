"""Whether small changes turn clear cases over: which cases are clear, which judgements turned, how many did not.

A case is clear where the unchanged one was judged rightly on every seed: its rules found, its health right. That is settled
before any change is looked at, and by the unchanged trainings alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.evaluation.case import Labelled
from tools.evaluation.judging import Judged, Share
from tools.evaluation.perturbation import Perturbation, perturbations_of


@dataclass(frozen=True)
class Change:
    """One change of one case on one seed."""

    case: Labelled
    seed: int
    perturbation: Perturbation


@dataclass(frozen=True)
class Changed:
    """A change, judged by the case's label; `judged` is None where it cannot be made."""

    change: Change
    judged: Judged | None

    @property
    def case(self) -> str:
        """The case's id."""
        return self.change.case.id

    @property
    def seed(self) -> int:
        """The seed that the unchanged case is compared on."""
        return self.change.seed

    @property
    def kind(self) -> str:
        """What was changed."""
        return self.change.perturbation.kind

    @property
    def keeps_rules(self) -> bool:
        """Whether the rules that had to fire still did."""
        return self.judged is not None and not self.judged.missed

    @property
    def keeps_health(self) -> bool:
        """Whether the health is still the true one."""
        return self.judged is not None and self.judged.is_health_right

    @property
    def turned(self) -> bool:
        """Whether a clear case would have been turned over."""
        return self.judged is not None and not (self.keeps_rules and self.keeps_health)


def changes_of(cases: Sequence[Labelled], seeds: Sequence[int]) -> list[Change]:
    """Return every kind of change of every case on every seed."""
    return [Change(case, seed, one) for seed in seeds for case in cases for one in perturbations_of(case.on_seed(seed))]


def clear_cases(judged: Iterable[Judged]) -> frozenset[str]:
    """Return the cases on which the diagnosis of the unchanged spec is right on every seed."""
    found = list(judged)
    wrong = {one.case.id for one in found if one.missed or not one.is_health_right}
    return frozenset(one.case.id for one in found) - wrong


def changes_of_clear(judged: Iterable[Judged], changed: Iterable[Changed]) -> list[Changed]:
    """Return the changes that could be made, of clear cases alone."""
    clear = clear_cases(judged)
    return [one for one in changed if one.case in clear and one.judged is not None]


def share_unturned(changed: Sequence[Changed]) -> Share:
    """Return how many of the changes left the judgement as it was."""
    return Share(sum(not one.turned for one in changed), len(changed))


def share_with_rules(changed: Iterable[Changed]) -> Share:
    """Return how many of the changes of cases with rules that have to fire left them firing."""
    wanted = [one for one in changed if one.judged is not None and one.judged.case.must]
    return Share(sum(one.keeps_rules for one in wanted), len(wanted))


def share_with_health(changed: Sequence[Changed]) -> Share:
    """Return how many of the changes left the health right."""
    return Share(sum(one.keeps_health for one in changed), len(changed))
