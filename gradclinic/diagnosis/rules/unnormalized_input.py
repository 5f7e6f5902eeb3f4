"""The inputs are far from the size that a fresh network is made for.

Sees: the root mean square of each input feature as the model gets it (of images and sequences as a whole); it fires where the
largest is above input_scale, or the largest is below its inverse.

Hurts: the first layer's gradient is as large as its inputs: a rate that suits one feature is far too large for another, and units
are thrown to where no sample activates them.

Silent: where training goes well all the same, as behind a normalisation, or with trees of features of one size.

Foresees: a warning where the first step is too long as well (see learning_rate_too_high), or the loss starts far above a trivial
predictor's; else it is told as info, for a training can take it.

Source: LeCun et al. 1998, Efficient BackProp, section 4.3.
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.step_ahead import too_long_a_step


def check(case: Case) -> Finding | None:
    """Fire on inputs of another order of magnitude, where the training suffered."""
    inputs = case.history.facts.inputs
    threshold = case.thresholds["input_scale"]
    if inputs is None or case.severity == "info" or 1 / threshold <= inputs.largest_scale <= threshold:
        return None
    first = next((layer.name for layer in case.history.facts.layers if layer.parameters), None)
    spread = inputs.largest_scale / inputs.smallest_scale
    return Finding(
        rule="unnormalized_input",
        severity=case.severity,
        first_step=0,
        layers=[first] if first else [],
        summary=f"The largest input feature is about {inputs.largest_scale:.2g}, {spread:.2g} times the smallest; a network is made for about 1.",
        evidence=[
            Evidence(signal="input_scale", value=inputs.largest_scale, threshold=threshold, step=0),
            Evidence(signal="input_spread", value=spread, step=0),
        ],
        cause=Cause(
            what="data",
            detail="Inputs come as they are: `normalize` scales each feature by its mean and deviation",
            share=1.0,
            confidence=KNOWN,
        ),
    )


def _foresee(case: Case) -> Finding | None:
    finding = check(case)
    if finding is None or too_long_a_step(case) is not None or case.starts_far_off:
        return finding
    return finding.model_copy(update={"severity": "info"})


def _wine(*, normalize: bool) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 3}]
    return {
        "model": {"layers": layers},
        "data": {"type": "wine", "normalize": normalize},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200, "batch_size": 32},
    }


RULE = Rule(
    id="unnormalized_input",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=_foresee,
    thresholds=("input_scale", "catapult", "loss_jump", "start_loss", "not_learned_skill", "harmed_skill"),
    sick=(_wine(normalize=False),),
    healthy=(_wine(normalize=True),),
)
