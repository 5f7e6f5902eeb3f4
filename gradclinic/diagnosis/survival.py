"""The depth to which a signal survives: after how many layers a drift over depth has taken most of it, or multiplied it."""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Evidence
from gradclinic.contract.preflight import DepthSlope
from gradclinic.diagnosis.case import Case


def predicted_depth(slope: DepthSlope, lost: float) -> float | None:
    """Return the layers with weights after which the part `lost` of a signal is left, or, where it grows, its inverse.

    None where the interval holds 0: it may get through any depth. Source: Schoenholz et al. 2017, arXiv 1611.01232, whose depth
    scale is that of a factor of e.
    """
    if slope.per_layer == 0 or (slope.ci95 is not None and slope.ci95[0] <= 0 <= slope.ci95[1]):
        return None
    return _layers(slope.per_layer, lost)


def depth_evidence(case: Case, lost: float) -> list[Evidence]:
    """Return the depth to which the gradient gets, of a preflight, with what the slope's interval makes of it."""
    slope = case.preflight.gradient if case.preflight is not None else None
    depth = predicted_depth(slope, lost) if slope is not None else None
    if slope is None or depth is None:
        return []
    ends = sorted(_layers(end, lost) for end in slope.ci95) if slope.ci95 is not None else None
    words = (
        f"After {depth:.3g} layers with weights {lost:g} of the gradient is left; this network has {slope.layers + 1}."
    )
    return [Evidence(signal="predicted_depth", value=depth, ci95=(ends[0], ends[1]) if ends else None, words=words)]


def _layers(per_layer: float, lost: float) -> float:
    # A threshold that somebody set to 1 or more is reached at once.
    return max(0.0, -math.log10(lost)) / abs(per_layer)
