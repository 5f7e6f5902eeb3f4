"""Most outputs of a layer lie in the flat part of its activation.

Sees: of each layer with a bounded activation, the share of its outputs where the derivative is a small part of its largest;
it fires where that is above saturated_share, at the start or for most of the training.

Hurts: a flat activation passes on next to no gradient, and its output hardly depends on its input.

Silent: where training goes well: gates and last layers are meant to end near their bounds. Then it is told as info.

Foresees: the share before the first step, as a warning.

Source: Glorot & Bengio 2010, section 3; SageMaker Debugger and DeepDiagnosis count outputs beyond fixed bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import share_beyond
from gradclinic.diagnosis.overshoot import overshoot
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where a layer is saturated at the start, or typically."""
    table = case.history["saturated_fraction"]
    if not len(table.steps):
        return None
    threshold = case.thresholds["saturated_share"]
    typical = np.fmax(case.typical("saturated_fraction", table.values), table.values[0])
    flat = [(name, float(share)) for name, share in zip(table.subjects, typical, strict=True) if share > threshold]
    if not flat:
        return None
    worst, share = max(flat, key=lambda one: one[1])
    above = case.history.highest("saturated_fraction").series(worst) > threshold
    step = int(table.steps[int(np.argmax(above))])
    types = {layer.name: layer.type for layer in case.history.facts.layers}
    start = Cause(
        what="weights",
        detail=f"What {worst} ({types.get(worst, 'a layer')}) is given is too large from the start",
        share=1.0,
        confidence=share_beyond(share, threshold),
    )
    return Finding(
        rule="saturated_activations",
        severity=case.severity,
        first_step=step,
        layers=[name for name, _ in flat],
        summary=f"{share:.0%} of the outputs of {worst} lie where it is flat.",
        evidence=[
            Evidence(signal="saturated_fraction", value=value, threshold=threshold, layer=name) for name, value in flat
        ],
        cause=overshoot(case, step) or (start if step == int(table.steps[0]) else None),
    )


def _digits(std: float) -> dict[str, Any]:
    turn = [{"type": "Linear", "out_features": 64}, {"type": "Tanh"}]
    return {
        "model": {
            "layers": [{"type": "Repeat", "times": 4, "layers": turn}, {"type": "Linear", "out_features": 10}],
            "init": {"weight": {"type": "normal_", "std": std}},
        },
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="saturated_activations",
    documentation=__doc__ or "",
    signals=("saturated_fraction", "loss"),
    check=check,
    foresee=check,
    thresholds=("saturated_share", "overshooting_update", "not_learned_skill", "harmed_skill"),
    caused_by=("unnormalized_input", "learning_rate_too_high", "poor_initialization"),
    sick=(_digits(2.0),),
    healthy=(_digits(0.2),),
)
