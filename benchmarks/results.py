"""What a part of the benchmarks hands back: figures in tables, each aim with what was measured, and what was not measured.

Measures nothing itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel

Verdict = Literal["kept", "MISSED", "not measured"]


class Aim(ResultModel):
    """One figure that the project has set itself, beside what was measured."""

    what: str
    measured: float | None = Field(description="None where it was not measured.")
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    must: float | None = Field(None, description="A weaker bound on the same side, which may not be missed either.")
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the aim was kept."""
        if self.measured is None:
            return "not measured"
        kept_below = self.at_most is None or self.measured <= self.at_most
        kept_above = self.at_least is None or self.measured >= self.at_least
        return "kept" if kept_below and kept_above else "MISSED"  # NaN keeps nothing

    @property
    def misses_must(self) -> bool:
        """Whether even the weaker bound was missed."""
        if self.measured is None or self.must is None:
            return False
        return not (self.measured <= self.must if self.at_most is not None else self.measured >= self.must)


class Table(ResultModel):
    """Figures as text, under their headings; the first column names what the row is about."""

    title: str
    headings: list[str]
    rows: list[list[str]]


class Part(ResultModel):
    """What one part of the benchmarks measured."""

    name: str
    tables: list[Table] = Field(default_factory=list)
    aims: list[Aim] = Field(default_factory=list)
    notes: list[str] = Field(
        default_factory=list, description="What was not measured and why, or how figures came about."
    )
    machine: str = ""
    measured_on: str = Field("", description="The day, as YYYY-MM-DD.")
    seconds: float = 0.0
    failed: bool = False


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write the median of repeated measurements with the smallest and the largest."""
    if not values:
        return "-"
    low, middle, high = (f"{f(values):,.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} [{low} .. {high}]"
