"""The loss ends where a predictor stands that ignores its input.

Sees: skill, 1 - loss / trivial loss, and the same of the metric; it fires where both are below not_learned_skill.
Without a known trivial loss, the first steps' stand in, if enough steps follow them.

Hurts: nothing was learned; whatever the curve looks like, the model answers the same to every input.

Silent: where either the loss or the metric is clearly better than trivial; where neither can be compared with that,
as of a training of a few steps whose trivial loss is not known (the diagnosis then has a note).

Source: the check of the initial loss against ln(C) in TheDeepChecker (arXiv 2204.00694), turned to the end of training.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where neither loss nor metric is clearly better than a trivial predictor's."""
    learning = case.learning
    threshold = case.thresholds["not_learned_skill"]
    if not learning.has_not_learned(threshold) and not _fell_a_little(case):
        return None
    steps = case.history["loss"].steps
    return Finding(
        rule="loss_not_decreasing",
        severity="warning" if _fell_a_little(case) else "critical",
        # It is the state at the end that is judged.
        first_step=int(steps[-1]) if len(steps) else None,
        summary=_summary(case),
        evidence=[
            Evidence(signal=name, value=skill, threshold=threshold)
            for name, skill in (("loss_skill", learning.loss_skill), ("metric_skill", learning.metric_skill))
            if skill is not None
        ]
        + _update_size(case)
        + _change(case),
    )


def _fell_a_little(case: Case) -> bool:
    """Say whether the loss fell, and it is not known whether that is much: nobody told what a trivial predictor reaches."""
    learning = case.learning
    if not learning.has_fallen or learning.diverged or not learning.skills:
        return False
    return max(learning.skills) < case.thresholds["not_learned_skill"]


def _change(case: Case) -> list[Evidence]:
    """Tell whether the loss fell at all: where it did, the steps went the right way and were too few or too short."""
    start, end = case.learning.start_loss, case.learning.end_loss
    return [Evidence(signal="loss_end_over_start", value=end / start)] if start and end is not None else []


def _update_size(case: Case) -> list[Evidence]:
    """Tell how far a step moved the weights, typically: it says which way a learning rate is wrong."""
    if "update_ratio" not in case.history:
        return []
    ratios = case.history["update_ratio"].values
    moved = ratios[np.isfinite(ratios)]
    return [Evidence(signal="update_ratio", value=float(np.median(moved)))] if len(moved) else []


def _summary(case: Case) -> str:
    learning = case.learning
    if learning.diverged or learning.end_loss is None:
        return "The loss did not end as a number."
    if _fell_a_little(case):
        return f"The loss fell from {learning.start_loss:.3g} to {learning.end_loss:.3g} only; how low it could be is not known."
    if learning.trivial_loss is None:
        return f"The loss went from {learning.start_loss:.3g} to {learning.end_loss:.3g}."
    return f"The loss stands at {learning.end_loss:.3g}; a predictor that ignores its input reaches {learning.trivial_loss:.3g}."


def _digits(lr: float) -> dict[str, object]:
    return {
        "model": {
            "layers": [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
        },
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="loss_not_decreasing",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    thresholds=("not_learned_skill",),
    caused_by=("training_error", "non_finite", "vanishing_gradient", "exploding_gradient"),
    sick=(_digits(1e-6),),
    healthy=(_digits(0.1),),
)
