"""Clipping acts on nearly every step.

Sees: the share of the steps whose gradient was clipped; it fires above clipped_share.

Hurts: the length of every step is the clipping's and not the gradient's. Below what the gradients are, it is a learning rate
that is too small; and it hides that they are too large for the rate.

Silent: where training goes well. Clipping each step to a length of one is a way to train.

Source: the tuning playbook (Godbole et al. 2023): more than half of the steps clipped says that the threshold is too low.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import share_beyond
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where nearly all gradients were cut, and the training suffered."""
    clipped = case.history["clipped"].series()
    threshold = case.thresholds["clipped_share"]
    if not len(clipped) or case.severity == "info":
        return None
    share = float(clipped.mean())
    if share <= threshold:
        return None
    norms = case.gradient_norms
    usual = float(case.typical("grad_norm", norms)) if len(norms) else float("nan")
    return Finding(
        rule="gradient_clipped_away",
        severity=case.severity,
        first_step=int(case.history["clipped"].steps[int(np.argmax(clipped > 0))]),
        summary=f"{share:.0%} of the steps were clipped; the gradient's norm is typically {usual:.2g} before.",
        evidence=[
            Evidence(signal="clipped", value=share, threshold=threshold),
            Evidence(signal="grad_norm", value=usual),
        ],
        cause=Cause(
            what="learning_rate",
            detail="Clipping sets the length of nearly every step",
            share=1.0,
            confidence=share_beyond(share, threshold),
        ),
    )


def _digits(limit: float) -> dict[str, object]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200, "clip_grad_norm": limit},
    }


RULE = Rule(
    id="gradient_clipped_away",
    documentation=__doc__ or "",
    signals=("clipped", "grad_norm", "loss"),
    check=check,
    thresholds=("clipped_share", "not_learned_skill", "harmed_skill"),
    caused_by=("exploding_gradient",),
    sick=(_digits(1e-3),),
    healthy=(_digits(5.0),),
)
