"""Scale the targets of a regression to the size of a fresh network's outputs.

When it applies:
    Targets of a regression that come as they are and are far from 1 in size, in a model that did not learn them.

What it changes:
    `data.normalize_target` becomes true: each target by its mean and deviation of the training part. An activation after the last
    layer that could not answer below zero is left out with it. r2 and the share of the trivial error stay comparable; the loss and mae
    are then in deviations.

What it costs:
    Nothing. Answers have to be scaled back by the same numbers.

When it is known not to help:
    For counts and probabilities, whose losses take them as they are.

Source:
    - Bishop 1995, Neural Networks for Pattern Recognition, section 8.2
    - LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.5
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.loss import MEASURE_DISTANCES
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.tail import activations_after_the_last_layer, remove_layers

KIND: FixKind = "target_scaling"
ADDRESSES: tuple[RuleId, ...] = ("unnormalized_target",)


def propose(posted: Posted, finding: Finding) -> list[Candidate]:  # noqa: ARG001 - every fix module has one signature
    """Propose to scale the targets, where they are numbers and are not scaled."""
    is_of_distances = posted.spec.loss.type in MEASURE_DISTANCES
    if posted.spec.data.normalize_target or not is_of_distances or posted.classes is not None:
        return []
    tail = activations_after_the_last_layer(posted)
    patch = [*set_value(posted.document, ("data", "normalize_target"), value=True), *remove_layers(posted, tail)]
    named = " and ".join(dict.fromkeys(place.layer.type for place in tail))
    why = (
        "A fresh network answers about 0, and its gradient is as large as the distance to the targets; scaled by their mean and "
        "deviation they are about 1, and the same learning rate suits all layers. Compare r2, which does not depend on the scale; "
        "mae and the loss are in deviations then."
    )
    title = "Scale the targets by their mean and deviation"
    return [
        Candidate("target-scaling", f"{title}, and leave out the {named} at the end" if named else title, patch, why)
    ]
