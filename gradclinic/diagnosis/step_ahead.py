"""What the first step would do, as a preflight measured it: whether it is too long, and how far it moves each weight."""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from gradclinic.contract.diagnosis import Evidence
from gradclinic.contract.preflight import PreflightFacts
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.output_layer import ends_with_weights

CONVEX = 1.0
"""Sharpness over the border on a quadratic loss, above which steps diverge for certain: there is nothing that could flatten."""


def too_long_a_step(case: Case) -> Evidence | None:
    """Say by what number the first step is too long; None where it is not, or this is no preflight.

    Of plain SGD it is the sharpness over the largest that its rate bears. Above 1 the loss rises at first, and may catapult into a
    flatter place: a little is no fault. Of all others it is the loss after the step over the loss before, on the same batch; a loss
    that is not finite after it on any seed says enough of each.
    """
    preflight = case.preflight
    if preflight is None:
        return None
    if preflight.losses_after_step and not any(loss is not None for loss in preflight.losses_after_step):
        return Evidence(signal="loss_after_step", value=None, threshold=case.thresholds["loss_jump"], step=0)
    if (over := sharpness_over_border(preflight)) is not None:
        threshold = CONVEX if is_quadratic(case) else case.thresholds["catapult"]
        return _above("sharpness_over_border", over, threshold)
    jump = _median(preflight.losses_after_step)
    return None if jump is None else _above("loss_after_step", jump, case.thresholds["loss_jump"])


def sharpness_over_border(preflight: PreflightFacts) -> float | None:
    """Return the median sharpness over the largest that the learning rate bears; None where either is not known."""
    sharpness = preflight.sharpness
    return None if sharpness is None or not sharpness.border else median(sharpness.values) / sharpness.border


def is_quadratic(case: Case) -> bool:
    """Say whether the loss is quadratic in the weights: one linear layer and a squared error."""
    facts = case.history.facts
    with_weights = [layer for layer in facts.layers if layer.parameters]
    is_linear = len(with_weights) == 1 and with_weights[0].type in {"Linear", "Conv1d", "Conv2d", "Conv3d"}
    return facts.loss == "MSELoss" and is_linear and case.sees_all_layers and ends_with_weights(facts.layers)


def first_updates(case: Case) -> dict[str, float]:
    """Return how far the first step moves each weight, relative to it, by name: the median over the batches. Weights of 0 are left out."""
    if case.weight_updates is None:
        return {}
    table = case.history["update_ratio"]
    found = {
        name: float(np.median(table.series(name))) for name in table.subjects if "weight" in name.rpartition(".")[2]
    }
    return {name: ratio for name, ratio in found.items() if math.isfinite(ratio)}


def _above(signal: str, value: float, threshold: float) -> Evidence | None:
    return Evidence(signal=signal, value=value, threshold=threshold, step=0) if value > threshold else None


def _median(values: list[float | None]) -> float | None:
    """Return the median of numbers, of which those that are not finite (None) count as the largest of all."""
    return median(math.inf if value is None else value for value in values) if values else None
