"""The one table of numbers that decide whether a rule fires; a spec overrides them under `diagnosis.thresholds`.

All are ratios: an absolute threshold for a gradient says nothing, for published ones span 1e-4 to 1e-8 for "vanishing"
and 10 to 1e6 for "exploding".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradclinic.contract.catalogue import ThresholdInfo
from gradclinic.contract.naming import pointer
from gradclinic.errors import Fault

_TABLE = (
    ThresholdInfo(
        name="vanishing_gain",
        default=1e-2,
        meaning="Backward gain from the output to the first trained layer, below which the gradient counts as vanishing.",
        source=(
            "Our choice. A trainable network keeps it within about a factor of ten at any depth (Glorot & Bengio 2010, "
            "figure 7; He et al. 2015, section 2.2); a hundred leaves room for what the output layer does."
        ),
    ),
    ThresholdInfo(
        name="exploding_gain",
        default=1e2,
        meaning="Backward gain from the output to the first trained layer, above which the gradient counts as exploding.",
        source="The reciprocal of vanishing_gain: growth and decay are one straight line in the logarithm (Schoenholz et al. 2017).",
    ),
    ThresholdInfo(
        name="exploding_growth",
        default=1e3,
        meaning="Norm of the whole gradient over its median in the first steps, above which it counts as exploding.",
        source="Our choice, above the spikes of up to 1000 times that trainings have been seen to survive (SPAM, arXiv 2501.06842).",
    ),
    ThresholdInfo(
        name="overshooting_update",
        default=0.3,
        meaning="Update of a weight relative to the weight, above which what breaks afterwards is the step's doing.",
        source="Our choice: 300 times the 1e-3 that is usual (cs231n), and three times the 0.1 that TheDeepChecker calls fast.",
    ),
    ThresholdInfo(
        name="not_learned_skill",
        default=0.25,
        meaning="Share of the way from a trivial predictor to a perfect one, below which a model has not learned.",
        source="Our choice: a quarter of the way is what 'barely better' means here.",
    ),
    ThresholdInfo(
        name="harmed_skill",
        default=0.5,
        meaning="The same share, below which a symptom counts as harming the training.",
        source="Our choice: half of the way.",
    ),
)

THRESHOLDS: Mapping[str, ThresholdInfo] = {threshold.name: threshold for threshold in _TABLE}
"""All thresholds by name."""


def thresholds_with(overrides: Mapping[str, float] | None) -> dict[str, float]:
    """Return all thresholds, the documented defaults replaced by `overrides`."""
    return {name: threshold.default for name, threshold in THRESHOLDS.items()} | dict(overrides or {})


def check_thresholds(overrides: Mapping[str, float]) -> list[Fault]:
    """List what is wrong with overridden thresholds: names that do not exist, numbers that are no ratio."""
    faults = []
    for name, value in overrides.items():
        place = pointer("diagnosis", "thresholds", name)
        if name not in THRESHOLDS:
            faults.append(Fault(place, f"There is no threshold {name!r}.", ", ".join(THRESHOLDS)))
        elif not (value > 0 and math.isfinite(value)):
            faults.append(Fault(place, f"The threshold {name} is {value:g}.", "a finite number above 0"))
    return faults
