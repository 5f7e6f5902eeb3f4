"""The weights stay what they were.

Sees: the update of each weight relative to the weight; it fires where the largest of all is below unchanged_update.

Hurts: nothing is learned, however long it trains. A float32 keeps seven digits, and an update smaller than the last of
them is lost in rounding.

Silent: where a single weight moves. That the others do not is what the rules on vanishing and missing gradients see.

Foresees: the first step, critical where it moves no weight by more than rounding. Nothing where the schedule raises the rate.

Source: the spacing of float32 numbers, 6e-8 relative (IEEE 754); SageMaker Debugger's WeightUpdateRatio has 1e-8.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where no weight was ever updated by more than rounding."""
    ratios = case.largest_weight_updates
    if ratios is None or not ratios.size or not np.isfinite(ratios).any():
        return None
    threshold = case.thresholds["unchanged_update"]
    largest = float(np.nanmax(ratios))
    if largest >= threshold or case.severity == "info":
        return None
    rates = case.history["lr"].series() if "lr" in case.history else np.empty(0)
    tiny = f"The learning rate is {rates.max():.2g}" if len(rates) else "The updates are too small"
    gets_gradient = bool(np.nanmax(case.gradient_norms, initial=0.0) > 0)
    return Finding(
        rule="unchanged_weights",
        severity=case.severity,
        first_step=int(case.history["update_ratio"].steps[0]),
        summary="No weight changes: the largest update is " + (f"{largest:.1g} of the weight." if largest else "0."),
        evidence=[Evidence(signal="update_ratio", value=largest, threshold=threshold)],
        cause=Cause(
            what="learning_rate",
            detail=f"{tiny}, and there is a gradient",
            share=1.0,
            confidence=beyond(threshold, largest),
        )
        if gets_gradient
        else None,
    )


def certain(case: Case) -> Finding | None:
    """Fire early where nothing moves: the largest update of all has been."""
    return check(case) if case.fate == "standing_still" else None


def _foresee(case: Case) -> Finding | None:
    finding = check(case)
    if finding is None or (case.preflight is not None and case.preflight.rises):
        return None
    return finding.model_copy(update={"severity": "critical"})


def _digits(lr: float) -> dict[str, object]:
    return {
        "model": {"layers": [{"type": "Linear", "out_features": 10}]},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 150},
    }


RULE = Rule(
    id="unchanged_weights",
    documentation=__doc__ or "",
    signals=("update_ratio", "grad_norm"),
    check=check,
    certain=certain,
    foresee=_foresee,
    thresholds=("unchanged_update", "not_learned_skill", "harmed_skill"),
    caused_by=("zero_gradient", "dead_units", "vanishing_gradient", "poor_initialization", "gradient_clipped_away"),
    sick=(_digits(1e-11),),
    healthy=(_digits(0.1),),
)
