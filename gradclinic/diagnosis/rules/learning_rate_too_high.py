"""The steps are longer than what they start from.

Sees: the update of a weight relative to the weight; it fires where one is above too_long_update in more than one of the
steps that were recorded, or in one of them and the loss jumped to loss_jump times what it was at first, or where the typical
update is above overshooting_update.

Hurts: each step throws away what the last one found. The loss jumps, and units end where nothing moves them any more.

Silent: where training goes well all the same. Weights that begin near 0 move far in their first steps, and a loss that
rises now and then is normal at the edge of stability (Cohen et al. 2021, arXiv 2103.00065).

Foresees: of plain SGD the sharpness (the largest curvature of the loss) over the largest that its rate bears on a quadratic loss, 2 / lr;
a warning above catapult, critical above 1 where the loss is quadratic. Of other optimizers a step that is taken back: a warning
where it multiplies the loss by loss_jump. Of all, critical where the loss is not finite after it.

Source: TheDeepChecker calls an update of a tenth of the weight fast; DeepDiagnosis blames the rate above a tenth as well.
"""

from __future__ import annotations

import math

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.step_ahead import is_quadratic, too_long_a_step

TIMES = 2
"""Steps that have to be too long: the first one alone may be, from a small initialization."""


def check(case: Case) -> Finding | None:
    """Fire where updates are out of proportion to the weights, and the training suffered."""
    ratios, longest = case.weight_updates, case.largest_weight_updates
    if ratios is None or longest is None or not len(ratios) or case.severity == "info":
        return None
    threshold = case.thresholds["too_long_update"]
    # A weight that blew up is as large as its updates; what is no number any more was the longest step of all.
    largest = np.where(np.isnan(longest), np.inf, longest).max(axis=1, initial=0.0)
    long = largest > threshold
    typical = float(case.typical("update_ratio", np.median(np.where(np.isfinite(ratios), ratios, np.inf), axis=1)))
    jumped = bool(long.any()) and _jump(case) > case.thresholds["loss_jump"]
    if long.sum() < TIMES and not jumped and typical <= case.thresholds["overshooting_update"]:
        return None
    row = int(np.argmax(long)) if long.any() else 0
    finite = largest[np.isfinite(largest)]
    peak = float(finite.max()) if len(finite) else float("inf")
    step = int(case.history["update_ratio"].steps[row])
    return Finding(
        rule="learning_rate_too_high",
        severity=case.severity,
        first_step=step,
        summary=f"Single steps change a weight by up to {peak:.2g} times its own size; 0.001 is usual.",
        evidence=[Evidence(signal="update_ratio", value=peak, threshold=threshold, step=step)],
        cause=Cause(
            what="learning_rate",
            detail=f"{int(long.sum())} of {len(long)} recorded steps were longer than a weight",
            share=1.0,
            confidence=max(beyond(peak, threshold), beyond(typical, case.thresholds["overshooting_update"])),
        ),
    )


def _jump(case: Case) -> float:
    """Return the largest loss over the first one; infinite where the first is 0."""
    losses = case.history["loss"].series()
    largest = float(np.max(losses[np.isfinite(losses)], initial=0.0))
    return largest / float(losses[0]) if len(losses) and losses[0] > 0 else float("inf")


def _foresee(case: Case) -> Finding | None:
    evidence = too_long_a_step(case)
    if evidence is None or case.preflight is None:
        return None
    over, by_sharpness = evidence.value, evidence.signal == "sharpness_over_border"
    if over is None:
        said = "The first step makes the loss of its own batch infinite or NaN."
    elif by_sharpness:
        said = f"The loss is {over:.2g} times as sharp as steps of this rate bear: they get longer and longer."
    else:
        said = f"The first step makes the loss of its own batch {over:.2g} times as large."
    return Finding(
        rule="learning_rate_too_high",
        severity="critical" if over is None or (by_sharpness and is_quadratic(case)) else "warning",
        first_step=0,
        summary=said,
        evidence=[evidence],
        cause=Cause(
            what="learning_rate",
            detail=f"The rate of the first step is {case.preflight.lr:.3g}",
            share=1.0,
            confidence=beyond(math.inf if over is None else over, evidence.threshold or 1.0),
        ),
    )


def _regression(lr: float) -> dict[str, object]:
    layers = [{"type": "Linear", "out_features": 64}, {"type": "ReLU"}, {"type": "Linear", "out_features": 1}]
    return {
        "model": {"layers": layers},
        "data": {"type": "linear_regression"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "Adam", "lr": lr},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="learning_rate_too_high",
    documentation=__doc__ or "",
    signals=("update_ratio", "loss"),
    check=check,
    certain=check,
    foresee=_foresee,
    thresholds=("too_long_update", "overshooting_update", "loss_jump", "catapult", "not_learned_skill", "harmed_skill"),
    caused_by=("unnormalized_input", "unnormalized_target", "exploding_gradient"),
    sick=(_regression(10.0),),
    healthy=(_regression(0.01),),
)
