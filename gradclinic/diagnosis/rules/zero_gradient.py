"""A parameter never gets a gradient.

Sees: the norm of each parameter's gradient; it fires where one is exactly 0 at every step that was recorded.

Hurts: the parameter stays as it was initialized. Something between it and the loss passes nothing on: a dropout of
everything, units that are all dead, an output that does not depend on it.

Silent: where training goes well all the same, it is told as info: a part of the model is not used, or need not move.

Foresees: weights without a gradient at first, and again after a step, for behind a last layer that begins as zeros there is one
then. Critical where that is so of all weights, a warning of those of the first trained layer, else info.

Source: the check of tensors that are all zero in SageMaker Debugger (AllZero), turned to gradients over a whole training.
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Evidence, Finding, Severity
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.rule import Rule
from gradclinic.history import WHOLE_STEP

SHOWN = 3
"""Parameters that the summary names."""


def check(case: Case) -> Finding | None:
    """Fire where a parameter's gradient was 0 at every recorded step."""
    table = case.history.highest("grad_norm")
    never = (table.values == 0).all(axis=0)
    starved = [name for name, is_zero in zip(table.subjects, never, strict=True) if is_zero and name != WHOLE_STEP]
    if not starved or not len(table.steps):
        return None
    named = ", ".join(starved[:SHOWN]) + (" and others" if len(starved) > SHOWN else "")
    of = len(table.subjects) - (WHOLE_STEP in table.subjects)
    return Finding(
        rule="zero_gradient",
        severity=case.severity,
        first_step=int(table.steps[0]),
        layers=list(dict.fromkeys(name.rpartition(".")[0] for name in starved)),
        summary=f"{len(starved)} of {of} parameters never got a gradient: {named}.",
        evidence=[Evidence(signal="grad_norm", value=0.0, threshold=0.0, layer=name) for name in starved[:SHOWN]],
    )


def certain(case: Case) -> Finding | None:
    """Fire early where nothing moves: what got no gradient until then gets none."""
    return check(case) if case.fate == "standing_still" else None


def _foresee(case: Case) -> Finding | None:
    finding = check(case)
    if finding is None or case.preflight is None:
        return None
    still = set(case.preflight.still_zero)
    weights = [name for name in case.history["grad_norm"].subjects if "weight" in name.rpartition(".")[2]]
    severity: Severity = "warning" if set(weights[:1]) & still else "info"
    return finding.model_copy(update={"severity": "critical" if weights and still.issuperset(weights) else severity})


def _digits(*between: dict[str, object]) -> dict[str, object]:
    layers = [
        {"type": "Linear", "out_features": 32},
        {"type": "ReLU"},
        *between,
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
    id="zero_gradient",
    documentation=__doc__ or "",
    signals=("grad_norm",),
    check=check,
    certain=certain,
    foresee=_foresee,
    thresholds=("not_learned_skill", "harmed_skill"),
    sick=(_digits({"type": "Dropout", "p": 1.0}),),
    healthy=(_digits({"type": "Dropout", "p": 0.2}),),
)
