r"""The slope of the logarithm of the gradient over depth, and how sure it is.

In wide random networks the logarithm of the gradient's norm falls in a straight line over depth (Schoenholz et al. 2017,
arXiv 1611.01232), so that one number tells how fast it shrinks or grows: decades a layer. A residual, a normalisation or a wide
layer bends the line, and what one layer takes all layers before it miss as well: the points do not scatter independently
around the line, and the usual standard error would be far too small. Its interval is worked out from the layers' gains instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Evidence
from gradclinic.diagnosis.gains import FLOOR, Gains

FEWEST_LAYERS = 4
"""Layers that have to be there for a line."""

LEAST_FREEDOM = 2
"""Gains that have to be there beyond one of each type of layer."""

MOST_ALIKE = 0.9
"""What neighbours are taken to be alike at most: nearer to 1 the interval says nothing any more."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """Decades a layer, from input to output, with its 95 % confidence interval: above 0 the gradient shrinks on its way back."""

    decades: float
    ci95: tuple[float, float]

    def as_evidence(self) -> Evidence:
        """Return this as the evidence of a finding, with words."""
        low, high = self.ci95
        does = "loses" if self.decades > 0 else "gains"
        toward = (low, high) if self.decades > 0 else (-high, -low)
        words = (
            f"On its way back the gradient {does} {abs(self.decades):.2g} decades a layer, a factor of "
            f"{10 ** abs(self.decades):.2g} (95 % confidence: {toward[0]:.2g} to {toward[1]:.2g} decades)."
        )
        return Evidence(signal="log_gradient_slope", value=self.decades, ci95=self.ci95, words=words)


def slope_evidence(gains: Gains, rows: npt.NDArray[np.bool_]) -> list[Evidence]:
    """Return the slope in the given rows (n,) as evidence; nothing where there is none."""
    slope = slope_over_depth(gains, rows)
    return [] if slope is None else [slope.as_evidence()]


def slope_over_depth(gains: Gains, rows: npt.NDArray[np.bool_]) -> Slope | None:
    r"""Fit log10 of the output gradient's norm over the place on the trunk, by least squares, in the given rows (n,).

    With :math:`y_d` the logarithm at layer d (mean of the rows) and :math:`g_d = y_d - y_{d-1}`, the fitted slope is a weighted
    sum of the gains, :math:`\sum_d w_d g_d`. Layers of one type scatter around their type's mean with a variance
    :math:`s^2`; were they independent, which makes of the profile a random walk (Durlauf & Phillips 1988), the slope's variance
    would be :math:`s^2 \sum_d w_d^2`. Neighbours that are alike make it larger by :math:`(1 + \rho) / (1 - \rho)` with
    :math:`\rho` their correlation, corrected for its bias in short series (Marriott & Pope 1954) and never taken as below 0. To it
    comes the variance of the mean over the rows, likewise, for neighbouring steps are alike. The quantile is Student's.

    Where the gradient was lost entirely nothing can be fitted: only layers from the last such one on count.

    Returns:
        None with fewer than `FEWEST_LAYERS` layers, with too few of each type, or where no row is finite.
    """
    decades = gains.decades[rows]
    decades = decades[np.isfinite(decades).all(axis=1)]
    if not len(decades):
        return None
    lost = np.flatnonzero((decades <= FLOOR).any(axis=0))
    first = int(lost[-1]) + 1 if len(lost) else 0
    decades, types = decades[:, first:], [layer.type for layer in gains.layers[first:]]
    if len(types) < FEWEST_LAYERS or (freedom := len(types) - 1 - len(set(types[1:]))) < LEAST_FREEDOM:
        return None
    to_slope = np.arange(len(types)) - (len(types) - 1) / 2
    to_slope /= float(to_slope @ to_slope)
    profile, each = decades.mean(axis=0), decades @ to_slope
    # Sum by parts: each gain counts by all the layers behind it.
    weights = np.cumsum(to_slope[::-1])[::-1][1:]
    scatter = _around_own(np.diff(profile), types[1:])
    variance = float(scatter @ scatter) / freedom * float(weights @ weights) * _inflation(scatter)
    if len(each) > 1:
        variance += float(each.var(ddof=1)) / len(each) * _inflation(each - each.mean())
    slope, half = float(to_slope @ profile), t_quantile(freedom) * math.sqrt(variance)
    return Slope(slope, (slope - half, slope + half))


def _around_own(values: Floats, types: list[str]) -> Floats:
    """Return values (n,) less the mean of those of the same type."""
    _, group = np.unique(types, return_inverse=True)
    means = np.bincount(group, values) / np.bincount(group)
    return np.asarray(values - means[group], np.float64)


def _inflation(scatter: Floats) -> float:
    """Return by how much the variance of a mean grows because neighbours in a series (n,) of mean 0 are alike."""
    energy = float(scatter @ scatter)
    if energy == 0 or len(scatter) < 2:
        return 1.0
    likeness = float(scatter[1:] @ scatter[:-1]) / energy
    likeness = min(max(likeness + (1 + 3 * likeness) / len(scatter), 0.0), MOST_ALIKE)
    return (1 + likeness) / (1 - likeness)


def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, by its expansion around the normal one (Abramowitz & Stegun 26.7.5).

    Right to 1 % from two degrees of freedom on, and to 0.02 % from five.
    """
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum((term / float(freedom**power) for power, term in enumerate(terms, start=1)), 0.0)
