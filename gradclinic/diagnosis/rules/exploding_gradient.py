"""The gradient grows on its way back, or from step to step, beyond what a learning rate can take.

Sees: the backward gain from the network's output to its first trained layer in the first steps; it fires above
exploding_gain. And the norm of the whole gradient over its median in the first steps; it fires above exploding_growth.

Hurts: one step throws the weights far away; the loss jumps, or ends as NaN.

Silent: where training goes well. Batch normalisation makes gradients grow with depth at initialization, and such
networks train: that is told as info.

Foresees: the growth over depth; a warning where the loss starts far above a trivial predictor's as well, or the first step moves a weight
by overshooting_update of its size: where neither holds, as with batch normalisation, it does no harm and is told as info.

Source: Pascanu et al. 2013 for the growth; Schoenholz et al. 2017, arXiv 1611.01232, for the chaotic phase; Yang et al.
2019, arXiv 1902.08129, for batch normalisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.attribution import attribute
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.gains import FIRST_STEPS, Gains
from gradclinic.diagnosis.overshoot import overshoot
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.slope import slope_evidence
from gradclinic.diagnosis.step_ahead import first_updates
from gradclinic.diagnosis.through_time import lost_through_time


def check(case: Case) -> Finding | None:
    """Fire on growth over depth in the first steps, else on growth over time."""
    return (
        _over_depth(case)
        or lost_through_time(case, "exploding_gradient", case.thresholds["exploding_gain"])
        or _over_time(case)
    )


def _over_depth(case: Case) -> Finding | None:
    gains = case.gains
    if gains is None:
        return None
    threshold = case.thresholds["exploding_gain"]
    early = gains.steps < gains.steps[0] + FIRST_STEPS
    with np.errstate(invalid="ignore"):
        above = early & (gains.total > np.log10(threshold))
    finite = gains.total[early & np.isfinite(gains.total)]
    if not len(finite) or np.median(finite) <= np.log10(threshold):
        return None
    row = int(np.argmax(above))
    step, total = int(gains.steps[row]), float(np.median(gains.total[above]))
    first, last = gains.layers[0].name, gains.layers[-1].name
    return Finding(
        rule="exploding_gradient",
        severity=case.severity,
        first_step=step,
        layers=_flooded(gains, above, threshold),
        summary=f"The gradient grows by {total:.1f} orders of magnitude from {last} to {first}.",
        evidence=[
            Evidence(signal="backward_gain", value=10**total, threshold=threshold, step=step, layer=first),
            Evidence(signal="activation_grad_norm", value=float(10 ** gains.decades[row, 0]), step=step, layer=first),
            *slope_evidence(gains, above),
        ],
        cause=overshoot(case, step)
        or attribute(
            gains.layers,
            gains.of_layers[above],
            weights=gains.spans[above],
            sign=1,
            sees_all=case.sees_all_layers,
            off_trunk=case.off_trunk,
        ),
    )


def _flooded(gains: Gains, window: np.ndarray[Any, Any], threshold: float) -> list[str]:
    """Name the layers with parameters that get more than the threshold times the output's gradient."""
    with np.errstate(invalid="ignore"):
        arriving = gains.typical(gains.decades - gains.decades[:, -1:], window)
    limit = np.log10(threshold)
    return [
        layer.name
        for layer, decades in zip(gains.layers, arriving, strict=True)
        if layer.parameters and decades > limit
    ]


def _over_time(case: Case) -> Finding | None:
    table = case.history["grad_norm"]
    norms = case.largest_gradient_norms
    start = norms[:FIRST_STEPS][np.isfinite(norms[:FIRST_STEPS])]
    usual = float(np.median(start)) if len(start) else 0.0
    threshold = case.thresholds["exploding_growth"]
    # A healthy training can spike, and come back; it is the harm that makes it a finding.
    grown = np.isfinite(norms) & (norms > threshold * usual)
    if usual <= 0 or not grown.any() or case.severity == "info":
        return None
    row = int(np.argmax(grown))
    peak = float(norms[grown].max() / usual)
    return Finding(
        rule="exploding_gradient",
        severity=case.severity,
        first_step=int(table.steps[row]),
        layers=[],
        summary=f"The gradient's norm grew to {peak:.2g} times what it was in the first steps.",
        evidence=[Evidence(signal="grad_norm_growth", value=peak, threshold=threshold, step=int(table.steps[row]))],
        cause=Cause(
            what="learning_rate",
            detail="It grows from step to step and not over depth: each step overshoots further than the last",
            share=1.0,
            confidence=beyond(peak, threshold),
        ),
    )


def _foresee(case: Case) -> Finding | None:
    finding = _over_depth(case) or lost_through_time(case, "exploding_gradient", case.thresholds["exploding_gain"])
    if finding is None:
        return None
    overshoots = max(first_updates(case).values(), default=0.0) > case.thresholds["overshooting_update"]
    return finding.model_copy(update={"severity": "warning" if overshoots or case.starts_far_off else "info"})


def _digits(times: int, init: dict[str, Any] | None) -> dict[str, Any]:
    turn = [{"type": "Linear", "out_features": 64}, {"type": "ReLU"}]
    layers = [{"type": "Repeat", "times": times, "layers": turn}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers, **({"init": init} if init else {})},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="exploding_gradient",
    documentation=__doc__ or "",
    signals=("activation_grad_norm", "grad_norm", "loss"),
    check=check,
    certain=check,
    foresee=_foresee,
    thresholds=("exploding_gain", "exploding_growth", "overshooting_update", "not_learned_skill", "harmed_skill"),
    sick=(_digits(8, {"weight": {"type": "normal_", "std": 1.0}}),),
    healthy=(_digits(3, {"weight": {"type": "kaiming_normal_", "nonlinearity": "relu"}}),),
)
