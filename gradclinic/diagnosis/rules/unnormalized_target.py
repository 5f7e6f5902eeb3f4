"""The targets of a regression are far from the size of a fresh network's outputs.

Sees: the root mean square of the targets; it fires above target_scale, or below its inverse.

Hurts: the output layer has to grow by that factor first. Its gradients are as large as the targets, and a rate that bears them
does nothing for the other layers.

Silent: where something was learned all the same: data may hold no more than that.

Foresees: a warning where the first step is too long as well (see learning_rate_too_high); else it is told as info, for
a training can take it.

Source: Bishop 1995, Neural Networks for Pattern Recognition, section 8.2 (targets of order unity).
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.step_ahead import too_long_a_step


def check(case: Case) -> Finding | None:
    """Fire on targets of another order of magnitude, where the training suffered."""
    targets = case.history.facts.targets
    threshold = case.thresholds["target_scale"]
    scale = targets.scale if targets else None
    does_harm = case.preflight is not None or case.severity == "critical"
    if scale is None or scale == 0 or not does_harm or 1 / threshold <= scale <= threshold:
        return None
    last = next((layer.name for layer in reversed(case.history.facts.layers) if layer.parameters), None)
    return Finding(
        rule="unnormalized_target",
        severity=case.severity,
        first_step=0,
        layers=[last] if last else [],
        summary=f"The targets are about {scale:.2g}; the outputs of a fresh network are about 1.",
        evidence=[Evidence(signal="target_scale", value=scale, threshold=threshold, step=0)],
        cause=Cause(
            what="data",
            detail="Targets come as they are: `normalize_target` scales them by their mean and deviation",
            share=1.0,
            confidence=KNOWN,
        ),
    )


def _foresee(case: Case) -> Finding | None:
    finding = check(case)
    if finding is None or too_long_a_step(case) is not None:
        return finding
    return finding.model_copy(update={"severity": "info"})


def _diabetes(*, normalize_target: bool) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 1}]
    return {
        "model": {"layers": layers},
        "data": {"type": "linear_regression", "bias": 300.0, "normalize_target": normalize_target},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"steps": 400},
    }


RULE = Rule(
    id="unnormalized_target",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=_foresee,
    thresholds=("target_scale", "catapult", "loss_jump", "not_learned_skill"),
    sick=(_diabetes(normalize_target=False),),
    healthy=(_diabetes(normalize_target=True),),
)
