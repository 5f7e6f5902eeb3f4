"""Replace activations that damp the gradient by one that passes it on.

When it applies:
    A vanishing gradient, or a loss that does not fall, in a model with saturating activations between its layers:
    Sigmoid passes on at most a quarter of the gradient, Tanh less than all of it.

What it changes:
    Every such activation before the output layer becomes ReLU, with He initialization, which is what keeps the
    variance behind it; or SELU with LeCun initialization, where nothing stands between that would break its
    self-normalization. What follows the last weights belongs to the loss and stays. In a deep model under SGD the learning
    rate is lowered to what the undamped gradient bears.

When it is known not to help:
    When the activations are not what damps the gradient: ReLU with weights that are drawn too small vanishes just the
    same. ReLU units can die at a high learning rate.

Source:
    - Glorot, Bordes & Bengio 2011, Deep sparse rectifier neural networks
    - He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
"""

from __future__ import annotations

import re

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.layers import Dense, Parallel, Residual
from gradclinic.contract.naming import pointer
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.initial_scale import HE, LECUN, Scheme, initialize
from gradclinic.fixes.patch import Operation
from gradclinic.fixes.posted import ACTIVATIONS, NORMALIZATIONS, REGULARIZATIONS, Place, Posted
from gradclinic.fixes.step_size import WHY_SHORTER_STEPS, and_shorter_steps, calm_steps

KIND: FixKind = "activation"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "loss_not_decreasing")

DAMPING = frozenset({
    "Sigmoid", "Hardsigmoid", "LogSigmoid", "Tanh", "Hardtanh", "Softsign", "Tanhshrink", "Hardshrink", "Softshrink",
})  # fmt: skip
"""Their slope is below one, or zero, over much of their range; for the shrinking ones around 0 itself."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose ReLU with He initialization, then SELU with LeCun initialization."""
    damping = [place for place in posted.hidden(ACTIVATIONS) if place.layer.type in DAMPING | _named(posted, finding)]
    if not damping:
        return []
    old = " and ".join(dict.fromkeys(place.layer.type for place in damping))
    passes = f"{old} passes on only part of the gradient in each layer"
    relu_why = f"{passes}; ReLU passes on all of it where it is active, and {HE.title} keeps its scale."
    selu_why = f"{passes}; SELU draws mean and variance towards 0 and 1 in a plain chain, and no unit can die."
    relu = _candidate(posted, damping, "ReLU", HE, relu_why)
    selu = _candidate(posted, damping, "SELU", LECUN, selu_why)
    return [relu, selu] if _is_plain_chain(posted, damping) else [relu]


def _candidate(posted: Posted, places: list[Place], type_: str, scheme: Scheme, why: str) -> Candidate:
    old = " and ".join(dict.fromkeys(place.layer.type for place in places))
    replacements: list[Operation] = [
        {
            "op": "replace",
            "path": pointer(*place.keys),
            "value": {"type": type_} if place.layer.name is None else {"type": type_, "name": place.layer.name},
        }
        for place in places
    ]
    calm = calm_steps(posted)
    return Candidate(
        f"activation-{type_.lower()}",
        f"Replace {old} by {type_}, with {scheme.title}{and_shorter_steps(calm)}",
        replacements + initialize(posted, scheme) + calm,
        why + (WHY_SHORTER_STEPS if calm else ""),
    )


def _named(posted: Posted, finding: Finding) -> set[str]:
    """Return the hidden activations that the finding's cause calls by name; ReLU is what we would replace them by."""
    if finding.cause is None or finding.cause.what != "activation":
        return set()
    words = set(re.findall(r"\w+", finding.cause.detail))
    posted_types: set[str] = {place.layer.type for place in posted.hidden(ACTIVATIONS)}
    return posted_types & words - {"ReLU", "SELU"}


def _is_plain_chain(posted: Posted, damping: list[Place]) -> bool:
    """Whether SELU's conditions hold: no dropout, normalization, sum or other activation would disturb it."""
    others = posted.hidden((*NORMALIZATIONS, *REGULARIZATIONS, Residual, Dense, Parallel))
    return not others and len(damping) == len(posted.hidden(ACTIVATIONS))
