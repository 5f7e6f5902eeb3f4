"""The steps are longer than what they start from.

Sees: the update of a weight relative to the weight; it fires where one is above too_long_update in more than one of the
steps that were recorded, or in one of them and the loss jumped to loss_jump times what it was at first, or where the typical
update is above overshooting_update.

Hurts: each step throws away what the last one found. The loss jumps, and units end where nothing moves them any more.

Silent: where training goes well all the same. Weights that begin near 0 move far in their first steps, and a loss that
rises now and then is normal at the edge of stability (Cohen et al. 2021, arXiv 2103.00065).

Source: TheDeepChecker calls an update of a tenth of the weight fast; DeepDiagnosis blames the rate above a tenth as well.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule

TIMES = 2
"""Steps that have to be too long: the first one alone may be, from a small initialization."""


def check(case: Case) -> Finding | None:
    """Fire where updates are out of proportion to the weights, and the training suffered."""
    ratios = case.weight_updates
    if ratios is None or not len(ratios) or case.severity == "info":
        return None
    threshold = case.thresholds["too_long_update"]
    # A weight that blew up is as large as its updates; what is no number any more was the longest step of all.
    largest = np.where(np.isnan(ratios), np.inf, ratios).max(axis=1, initial=0.0)
    long = largest > threshold
    typical = float(np.median(np.median(np.where(np.isfinite(ratios), ratios, np.inf), axis=1)))
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
    thresholds=("too_long_update", "overshooting_update", "loss_jump", "not_learned_skill", "harmed_skill"),
    caused_by=("unnormalized_input", "unnormalized_target", "exploding_gradient"),
    sick=(_regression(10.0),),
    healthy=(_regression(0.01),),
)
