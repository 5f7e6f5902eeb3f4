"""The steps are too short to get anywhere.

Sees: the way that the weights went, the sum of their updates relative to them over the whole training, for the median
weight; it fires below short_way.

Hurts: the training ends long before the model has learned what it could.

Silent: where the gradient does not arrive, or the loss began far above a trivial predictor's: then it is not the rate
that is too small, but the gradient, or the weights that are too large. Where the model learned enough it is told as info.

Source: updates of about 1e-3 of the weights a step are usual (cs231n, neural networks part 3); a training that moves its
weights by less than a tenth in all cannot have used its steps.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule

FAR_START = 3.0
"""A first loss so many times above the trivial one says that the weights are too large."""


def check(case: Case) -> Finding | None:
    """Fire where the weights went no way worth mentioning, though gradients were there."""
    way, ratios = case.way_of_weights, case.weight_updates
    threshold = case.thresholds["short_way"]
    if way is None or ratios is None or way >= threshold or case.severity == "info" or not _gradient_arrives(case):
        return None
    if (
        case.start_over_trivial is not None
        and case.start_over_trivial > FAR_START
        and case.history.facts.task == "classification"
    ):
        return None
    typical = float(np.nanmedian(case.typical("update_ratio", ratios)))
    return Finding(
        rule="learning_rate_too_low",
        severity=case.severity,
        first_step=int(case.history["update_ratio"].steps[0]),
        summary=f"All steps together moved the weights by {way:.2g} of their size; a single one by {typical:.1g}, where 0.001 is usual.",
        evidence=[
            Evidence(signal="way_of_weights", value=way, threshold=threshold),
            Evidence(signal="update_ratio", value=typical),
        ],
        cause=Cause(
            what="learning_rate",
            detail=f"Steps about {1e-3 / typical:.0g} times as long are usual",
            share=1.0,
            confidence=beyond(threshold, way),
        )
        if typical > 0
        else None,
    )


def _gradient_arrives(case: Case) -> bool:
    """Say whether there is a gradient, and none that is lost on its way to the first layers."""
    norms = case.gradient_norms
    if not np.nanmax(norms, initial=0.0) > 0:
        return False
    gains = case.gains
    if gains is None or not len(gains.total):
        return True
    return bool(gains.typical(gains.total) > np.log10(case.thresholds["vanishing_gain"]))


def _digits(lr: float) -> dict[str, object]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="learning_rate_too_low",
    documentation=__doc__ or "",
    signals=("update_ratio", "grad_norm", "loss"),
    check=check,
    thresholds=("short_way", "vanishing_gain", "not_learned_skill", "harmed_skill"),
    caused_by=("gradient_clipped_away",),
    sick=(_digits(1e-5),),
    healthy=(_digits(0.1),),
)
