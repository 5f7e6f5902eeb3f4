"""The gradient is lost on its way back: the first layers hardly get any.

Sees: the backward gain from the network's output to its first trained layer (the product of the gains of all layers on
the trunk), in the first step and over the whole training; it fires below vanishing_gain.

Hurts: layers near the input do not move, and what stands behind them learns from random features, or nothing at all.

Silent: where the gradient was there at first and is gone because the loss has converged. Where training goes well all
the same (an optimizer that rescales, such as Adam, or a residual path) it is told as info.

Foresees: the loss over depth, critical where the first step moves the first weights by less than float32 can hold (unchanged_update) and
the schedule does not raise the rate; a warning where the optimizer does not make up for it, so that the one update is below vanishing_gain of the
other; else info. Through time a warning where what arrives is lost in the rounding of a sum over time and there are no gates that could
open, else info.

Source: Hochreiter 1991; Bengio et al. 1994; Glorot & Bengio 2010; for the straight line over depth Schoenholz et al.
2017, arXiv 1611.01232.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Evidence, Finding, Severity
from gradclinic.diagnosis.attribution import attribute
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.gains import FIRST_STEPS, FLOOR, Gains
from gradclinic.diagnosis.overshoot import overshoot
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.slope import slope_evidence
from gradclinic.diagnosis.step_ahead import first_updates
from gradclinic.diagnosis.survival import depth_evidence
from gradclinic.diagnosis.through_time import lost_through_time

LASTING = 0.5
"""Share of the steps in which the gain has to be below the threshold, where it was not from the start."""


def check(case: Case) -> Finding | None:
    """Fire where the product of backward gains falls below the threshold, early or for most of the training."""
    threshold = case.thresholds["vanishing_gain"]
    return _over_depth(case, threshold) or lost_through_time(case, "vanishing_gradient", threshold)


def certain(case: Case) -> Finding | None:
    """Fire early where it was lost from the first step on: that stays so, whatever comes."""
    finding = check(case)
    return finding if finding is not None and finding.first_step == 0 else None


def _over_depth(case: Case, threshold: float) -> Finding | None:
    gains = case.gains
    if gains is None:
        return None
    below = gains.total < np.log10(threshold)
    early = gains.steps < gains.steps[0] + FIRST_STEPS
    # The first step shows what architecture and initialization do, before any update; those after it, that it lasts.
    from_start = bool(below[0] and below[early].mean() >= LASTING)
    # Later on, small gradients at the first layers are a fault only while there is still something to learn.
    later = gains.share_of_steps(below) >= LASTING and case.severity != "info"
    if not (from_start or later):
        return None
    window = early & below if from_start else below
    row = int(np.argmax(below))
    step = int(gains.steps[row])
    total = float(gains.typical(gains.total, window))
    return Finding(
        rule="vanishing_gradient",
        severity=case.severity,
        first_step=step,
        layers=_starved(gains, window, threshold),
        summary=_summary(gains, total),
        evidence=_evidence(case, gains, row, total, threshold) + slope_evidence(gains, window),
        cause=overshoot(case, step)
        or attribute(
            gains.layers,
            gains.of_layers[window],
            weights=gains.spans[window],
            sign=-1,
            sees_all=case.sees_all_layers,
            off_trunk=case.off_trunk,
        ),
    )


def _starved(gains: Gains, window: np.ndarray[Any, Any], threshold: float) -> list[str]:
    """Name the layers with parameters that get less than the threshold's share of the output's gradient."""
    arriving = gains.typical(gains.decades - gains.decades[:, -1:], window)
    limit = np.log10(threshold)
    return [
        layer.name
        for layer, decades in zip(gains.layers, arriving, strict=True)
        if layer.parameters and decades < limit
    ]


def _foresee(case: Case) -> Finding | None:
    threshold, rounding = case.thresholds["vanishing_gain"], case.thresholds["unchanged_update"]
    if (finding := _over_depth(case, threshold)) is not None:
        evidence = [*finding.evidence, *depth_evidence(case, threshold)]
        severity = _foreseen_harm(case, threshold, rounding)
        return finding.model_copy(update={"severity": severity, "evidence": evidence})
    finding = lost_through_time(case, "vanishing_gradient", threshold)
    if finding is None:
        return None
    types = {layer.name: layer.type for layer in case.history.facts.layers}
    is_lost = (finding.evidence[0].value or 0.0) < rounding and types.get(finding.evidence[0].layer or "") == "RNN"
    return finding.model_copy(update={"severity": "warning" if is_lost else "info"})


def _foreseen_harm(case: Case, threshold: float, rounding: float) -> Severity:
    """Judge by how far the first step moves the first weights on the trunk, and how far the last ones."""
    updates = first_updates(case)
    trunk = [
        name for layer in (case.gains.layers if case.gains else ()) for name in layer.parameters if name in updates
    ]
    if not trunk:
        return "warning"
    first, last = updates[trunk[0]], updates[trunk[-1]]
    preflight, gains = case.preflight, case.gains
    is_zero = gains is not None and np.median(gains.decades[:, 0]) <= FLOOR
    if is_zero and preflight is not None and trunk[0] not in preflight.still_zero:
        return "info"  # as behind a last layer that begins as zeros
    if first < rounding and not (preflight is not None and preflight.rises):
        return "critical"
    return "warning" if first < threshold * last else "info"


def _summary(gains: Gains, total: float) -> str:
    first, last = gains.layers[0].name, gains.layers[-1].name
    if gains.typical(gains.decades[:, 0]) <= FLOOR:
        return f"The gradient is lost entirely between {last} and {first}: less arrives than float32 can hold."
    return f"The gradient shrinks by {-total:.1f} orders of magnitude from {last} to {first}."


def _evidence(case: Case, gains: Gains, row: int, total: float, threshold: float) -> list[Evidence]:
    step, first = int(gains.steps[row]), gains.layers[0].name
    found = [
        Evidence(signal="backward_gain", value=10**total, threshold=threshold, step=step, layer=first),
        Evidence(signal="activation_grad_norm", value=float(10 ** gains.decades[row, 0]), step=step, layer=first),
    ]
    parameters = gains.layers[0].parameters
    if parameters and "update_ratio" in case.history and parameters[0] in case.history["update_ratio"].subjects:
        ratios = case.history["update_ratio"].series(parameters[0])
        typical = float(case.typical("update_ratio", np.where(np.isfinite(ratios), ratios, np.nan)))
        if np.isfinite(typical):
            found.append(Evidence(signal="update_ratio", value=typical, layer=parameters[0]))
    return found


def _digits(layers: list[dict[str, Any]], optimizer: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {
        "model": {"layers": layers, **model},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": optimizer,
        "training": {"steps": 200},
    }


def _deep(activation: str, times: int) -> list[dict[str, Any]]:
    turn = [{"type": "Linear", "out_features": 48}, {"type": activation}]
    return [{"type": "Repeat", "times": times, "layers": turn}, {"type": "Linear", "out_features": 10}]


RULE = Rule(
    id="vanishing_gradient",
    documentation=__doc__ or "",
    signals=("activation_grad_norm", "loss"),
    check=check,
    certain=certain,
    foresee=_foresee,
    # A step that threw the weights far away leaves units dead or saturated, and those pass on nothing.
    caused_by=("exploding_gradient",),
    thresholds=("vanishing_gain", "unchanged_update", "overshooting_update", "not_learned_skill", "harmed_skill"),
    sick=(_digits(_deep("Sigmoid", 10), {"type": "SGD", "lr": 0.1}),),
    healthy=(
        _digits(_deep("Sigmoid", 1), {"type": "SGD", "lr": 0.5}),
        _digits(_deep("ReLU", 2), {"type": "SGD", "lr": 0.1}),
    ),
)
