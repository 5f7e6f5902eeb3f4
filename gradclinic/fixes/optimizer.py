"""Take an optimizer that rescales each weight's gradient.

When it applies:
    A gradient that vanishes or explodes, values that are not finite, or a loss that does not fall, under plain SGD.

What it changes:
    The optimizer becomes Adam with a learning rate of 0.001; the weight decay is kept, what Adam does not have is
    dropped.

When it is known not to help:
    Where the gradient is lost rather than small: in ten or more Sigmoid layers nothing but noise is left to be rescaled.
    It treats the symptom, and the layers go on damping.

Source:
    - Kingma & Ba 2015, Adam: a method for stochastic optimization, arXiv:1412.6980
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.optimizer import SGD
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_broken_from_the_start
from gradclinic.fixes.posted import Posted

KIND: FixKind = "optimizer"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")

ADAM_LR = 1e-3


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose Adam in place of SGD."""
    posted_optimizer = posted.spec.optimizer
    if not isinstance(posted_optimizer, SGD) or is_broken_from_the_start(finding):
        return []
    adam: dict[str, Any] = {"type": "Adam", "lr": ADAM_LR}
    if posted_optimizer.weight_decay:
        adam["weight_decay"] = posted_optimizer.weight_decay
    if posted_optimizer.maximize:
        adam["maximize"] = True
    why = (
        f"Adam divides each weight's gradient by its own recent size, so that every layer moves by about {ADAM_LR:g} a "
        "step, however small or large the gradient that reaches it. The gradient itself stays as it is."
    )
    patch = [{"op": "replace", "path": "/optimizer", "value": adam}]
    return [Candidate("optimizer-adam", f"Use Adam with a learning rate of {ADAM_LR:g}", patch, why)]
