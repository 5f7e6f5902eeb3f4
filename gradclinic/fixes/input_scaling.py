"""Scale the inputs to the size that a fresh network is made for.

When it applies:
    Inputs that come as they are and are far from 1 in size; units that saturate or die, or a first loss far too large, in a model
    of such inputs.

What it changes:
    `data.normalize` becomes true: each feature of a table by its own mean and deviation of the training part, images by one of
    each. Where they were scaled to [-1, 1] already, and are still too large or small (one outlier is enough), likewise.

What it costs:
    Nothing. Whoever uses the model has to scale its inputs by the same numbers.

When it is known not to help:
    For sequences and tokens, which are not scaled. Where a normalization stands first in the model.

Source:
    - LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.3
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "input_scaling"
ADDRESSES: tuple[RuleId, ...] = ("unnormalized_input", "saturated_activations", "dead_units", "poor_initialization")

UNSCALED = ("adding_problem", "copy_memory")
"""Data of sequences, which `normalize` leaves alone."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose to scale by mean and deviation, where that is not done."""
    how = posted.spec.data.normalize
    by_range = how == "minmax" and finding.rule == "unnormalized_input"
    if not (how is False or by_range) or posted.spec.data.type in UNSCALED:
        return []
    why = (
        "A fresh network is made for inputs of about 1. Of larger ones the first layer's outputs and gradients are as much too "
        "large, units saturate or die, and a learning rate that suits one feature is far too large for another."
    )
    patch = set_value(posted.document, ("data", "normalize"), value=True)
    return [Candidate("input-scaling", "Scale each input by its mean and deviation", patch, why)]
