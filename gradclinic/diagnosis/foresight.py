"""What a diagnosis says of a network that nobody trained: its findings are predictions, its notes say what was measured.

Without an outcome a symptom's severity follows from what it leaves to a training. `critical` is what makes learning impossible
for certain: a start that is not finite, no gradient for any weight, a layer whose units are all alike or all off, a gradient so
small that its steps are lost in rounding, a rate at which a quadratic loss diverges, an error of PyTorch's. `warning` is what predicts clear harm.
All else is `info`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median

from gradclinic.contract.diagnosis import Finding
from gradclinic.contract.preflight import DepthSlope, PreflightFacts
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.step_ahead import sharpness_over_border
from gradclinic.diagnosis.survival import predicted_depth

PREFIX = "Predicted before training: "
"""How each summary begins."""

FAR = 1000.0
"""Layers from which on a predicted depth is as good as any."""


def foretold(finding: Finding) -> Finding:
    """Say of a finding that it is a prediction."""
    return finding.model_copy(update={"summary": PREFIX + finding.summary})


def preflight_notes(case: Case, preflight: PreflightFacts, unjudged: Iterable[str]) -> Iterator[str]:
    """Yield what was measured, in words, and which rules only a training can answer."""
    yield (
        f"Nothing was trained: this is foreseen from {preflight.batches} batches and the seeds "
        f"{', '.join(map(str, preflight.seeds))}."
    )
    yield from _depth(case, preflight)
    yield from _start(case, preflight)
    yield from _sharpness(preflight)
    yield from preflight.notes
    names = ", ".join(unjudged)
    if names:
        yield f"Not judged, because it takes a training: {names}."


def _depth(case: Case, preflight: PreflightFacts) -> Iterator[str]:
    for what, slope in (("gradient", preflight.gradient), ("difference between samples", preflight.signal)):
        if slope is None:
            continue
        interval = f" (95 % confidence: {slope.ci95[0]:+.2g} to {slope.ci95[1]:+.2g})" if slope.ci95 else ""
        reach = _reach(slope, case.thresholds["vanishing_gain"])
        yield f"The {what} changes by {slope.per_layer:+.2g} decades a layer with weights{interval}; {reach}"


def _reach(slope: DepthSlope, lost: float) -> str:
    """Say to which depth a signal survives: until the `lost` part of it is left, or, where it grows, the inverse."""
    depth = predicted_depth(slope, lost)
    has = f"this network has {slope.layers + 1}."
    if depth is None:
        return f"neither loss nor growth can be told from none, and {has}"
    end = f"{lost:g} of it is left" if slope.per_layer < 0 else f"it is {1 / lost:g} times as large"
    return f"after {depth:.3g} layers {end}, and {has}" if depth < FAR else f"it is good for any depth, and {has}"


def _start(case: Case, preflight: PreflightFacts) -> Iterator[str]:
    losses = ", ".join("not finite" if loss is None else f"{loss:.3g}" for loss in preflight.initial_losses)
    trivial = case.history.facts.trivial.train_loss
    beside = "" if trivial is None else f"; a predictor that ignores its input reaches {trivial:.3g}"
    if losses:
        yield f"The loss starts at {losses}{beside}."
    for dead in preflight.born_dead:
        if (share := median(dead.shares)) > 0:
            yield f"{share:.0%} of the units of {dead.layer} are off for each of {preflight.samples} samples."


def _sharpness(preflight: PreflightFacts) -> Iterator[str]:
    if preflight.sharpness is None:
        return
    values = ", ".join(f"{value:.3g}" for value in preflight.sharpness.values)
    over = sharpness_over_border(preflight)
    if over is None:
        yield f"The sharpness is {values}. What it is to be compared with is known of plain SGD alone."
        return
    yield (
        f"The sharpness is {values}, {over:.2g} times the {preflight.sharpness.border:.3g} up to which a step of this rate does not "
        "overshoot on a quadratic loss."
    )
