"""Most units of a layer are never active.

Sees: of each layer with an activation that can be off, the share of its units that were off for every one of many samples; it
fires where that is above dead_share in a layer at the end.

Hurts: a unit that is off for every sample gets no gradient, and stays off. What it could have learned is lost.

Silent: half of the outputs of a healthy ReLU layer are 0 in any batch, and each of its units is active for some sample. Where
training goes well all the same (a layer far wider than the task) it is told as info.

Foresees: the share before the first step, the median over several seeds, as a warning; critical where all units of a layer are off that
everything passes through.

Source: Lu et al. 2019, arXiv 1903.06733; SageMaker Debugger's DeadRelu and DeepDiagnosis judge by batch, which calls healthy
layers dead.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import share_beyond
from gradclinic.diagnosis.overshoot import overshoot
from gradclinic.diagnosis.rule import Rule

FIRST_STEPS = 20
"""A layer that was dead by then was born so, or nearly."""


def check(case: Case) -> Finding | None:
    """Fire where a layer ends with most of its units off for good."""
    table = case.history["dead_fraction"]
    if not len(table.steps):
        return None
    threshold = case.thresholds["dead_share"]
    last = table.values[-1]
    dead = [(name, float(share)) for name, share in zip(table.subjects, last, strict=True) if share > threshold]
    if not dead:
        return None
    worst, share = max(dead, key=lambda one: one[1])
    above = case.history.highest("dead_fraction").series(worst) > threshold
    step = int(table.steps[int(np.argmax(above))])
    born = step <= int(table.steps[0]) + FIRST_STEPS
    return Finding(
        rule="dead_units",
        severity=case.severity,
        first_step=step,
        layers=[name for name, _ in dead],
        summary=f"{share:.0%} of the units of {worst} are off for every sample"
        + (", from the start." if born else "."),
        evidence=[
            Evidence(signal="dead_fraction", value=value, threshold=threshold, layer=name) for name, value in dead
        ],
        cause=overshoot(case, step) or (_born(worst, share, threshold) if born else None),
    )


def certain(case: Case) -> Finding | None:
    """Fire early where nothing moves: the state that is judged is the one at the end."""
    return check(case) if case.fate == "standing_still" else None


def _foresee(case: Case) -> Finding | None:
    preflight, threshold = case.preflight, case.thresholds["dead_share"]
    shares = {dead.layer: median(dead.shares) for dead in preflight.born_dead} if preflight is not None else {}
    dead = {layer: share for layer, share in shares.items() if share > threshold}
    if not dead:
        return None
    trunk = {layer.name for layer in case.history.facts.layers if layer.on_trunk}
    worst = max(dead, key=dead.__getitem__)
    return Finding(
        rule="dead_units",
        severity="critical" if any(share == 1 and layer in trunk for layer, share in dead.items()) else "warning",
        first_step=0,
        layers=list(dead),
        summary=f"{dead[worst]:.0%} of the units of {worst} are off for every sample, from the start.",
        evidence=[
            Evidence(signal="dead_fraction", value=share, threshold=threshold, layer=layer)
            for layer, share in dead.items()
        ],
        cause=_born(worst, dead[worst], threshold),
    )


def _born(layer: str, share: float, threshold: float) -> Cause:
    detail = f"The units of {layer} start where no sample reaches them"
    return Cause(what="weights", detail=detail, share=1.0, confidence=share_beyond(share, threshold))


def _digits(bias: float) -> dict[str, Any]:
    init = {"bias": {"type": "constant_", "val": bias}}
    layers = [
        {"type": "Linear", "out_features": 32, "init": init},
        {"type": "ReLU"},
        {"type": "Linear", "out_features": 10},
    ]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="dead_units",
    documentation=__doc__ or "",
    signals=("dead_fraction", "loss"),
    check=check,
    certain=certain,
    foresee=_foresee,
    thresholds=("dead_share", "overshooting_update", "not_learned_skill", "harmed_skill"),
    caused_by=("unnormalized_input", "learning_rate_too_high", "exploding_gradient", "over_regularized"),
    sick=(_digits(-30.0),),
    healthy=(_digits(0.0),),
)
