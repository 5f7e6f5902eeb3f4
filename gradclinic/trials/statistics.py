"""The statistical test behind a verdict: a paired t-test, corrected by Holm's method for what is judged together.

Three seeds bear no rank test: Wilcoxon's smallest two-sided p-value with three pairs is 0.25. They bear a t-test where the
differences are about normal (Colas, Sigaud & Oudeyer 2019, arXiv:1904.06979; Bouthillier et al. 2021, arXiv:2103.03098).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANT = 1.0 - CONFIDENCE

IN_WORDS = (
    "Two-sided paired t-test of the outcome over the seeds that both specs were trained on, corrected by Holm's method for "
    "all fixes of a round, and doubled for a second look at the loss or at more seeds; significant below 0.05."
)


@dataclass(frozen=True)
class Paired:
    """What a paired t-test says about differences: their mean, its 95 % confidence interval, and the p-value."""

    mean: float
    interval: tuple[float, float]
    p_value: float


def compare_pairs(differences: Sequence[float], resolution: float = 0.0) -> Paired | None:
    """Test whether the mean of paired differences (n,) is 0; None with fewer than two.

    t = mean / (s / sqrt(n)) with n - 1 degrees of freedom, two-sided, and the interval that belongs to it. The deviation s
    is taken as at least what rounding to `resolution` leaves, resolution / sqrt(12) for each of two numbers: three equal
    differences of an accuracy over 40 samples prove less than three equal real numbers would.
    """
    n = len(differences)
    if n < 2:
        return None
    values = np.asarray(differences, dtype=np.float64)
    center = float(values.mean())
    error = max(float(values.std(ddof=1)), resolution / math.sqrt(6)) / math.sqrt(n)
    if error == 0:
        return Paired(center, (center, center), 1.0 if center == 0 else 0.0)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Paired(center, (center - half, center + half), 2 * float(stats.t.sf(abs(center) / error, n - 1)))


def corrected(p_values: Mapping[str, float], judged: int) -> dict[str, float]:
    """Correct p-values for `judged` tests made together, by Holm's method (1979).

    The k-th smallest is multiplied by judged - k + 1; none comes out smaller than one before it, or above 1. What was
    given up before it was tested counts among the judged: it was looked at, too.
    """
    found: dict[str, float] = {}
    largest = 0.0
    for place, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p_value * max(1, judged - place)))
        found[name] = largest
    return found
