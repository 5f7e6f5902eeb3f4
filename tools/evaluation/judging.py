"""Comparing diagnoses with the truth: what was found, missed and imagined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradclinic.contract.diagnosis import Diagnosis, Finding
from tools.evaluation.case import Labelled

Z95 = 1.959964
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True)
class Judged:
    """One case on one seed, and what was said of it."""

    case: Labelled
    seed: int
    diagnosis: Diagnosis

    @property
    def fired(self) -> dict[str, Finding]:
        """The findings at `warning` or above, by rule."""
        return {finding.rule: finding for finding in self.diagnosis.findings if finding.severity != "info"}

    @property
    def missed(self) -> list[str]:
        """The rules that had to fire and did not."""
        return sorted(self.case.must - self.fired.keys())

    @property
    def imagined(self) -> list[str]:
        """The rules that fired where the truth knows nothing of them."""
        return sorted(self.fired.keys() - self.case.must - self.case.may)

    @property
    def is_health_right(self) -> bool:
        """Whether the health is the true one."""
        return self.diagnosis.health == self.case.health

    @property
    def is_false_alarm(self) -> bool:
        """Whether something at `warning` or above was found on a healthy case."""
        return self.case.health == "healthy" and bool(self.imagined)


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95 % interval (Wilson 1927), which is right near 0 and 1 and for few."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The quotient; NaN of nothing."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval, within [0, 1]."""
        if not self.of:
            return (0.0, 1.0)
        n, p, z = self.of, self.value, Z95
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}] ({self.hits}/{self.of})"


def share_of(judged: Iterable[Judged], right: Callable[[Judged], bool]) -> Share:
    """Return in how many of them something is right."""
    found = [right(one) for one in judged]
    return Share(sum(found), len(found))


def recall(judged: Sequence[Judged], rule: str | None = None) -> Share:
    """Return how many of the findings that had to be there were; of one rule or of all."""
    wanted = [(one, must) for one in judged for must in one.case.must if rule in (None, must)]
    return Share(sum(must in one.fired for one, must in wanted), len(wanted))


def precision(judged: Sequence[Judged], rule: str) -> Share:
    """Return how many of a rule's findings the truth knows; those that it tolerates count neither way."""
    counted = [one for one in judged if rule in one.fired and rule not in one.case.may]
    return Share(sum(rule in one.case.must for one in counted), len(counted))
