"""Bound the norm of the whole gradient.

When it applies:
    A gradient that explodes, or values that are not finite, where no clipping to 1 or below is posted.

What it changes:
    `training.clip_grad_norm` becomes 1.

When it is known not to help:
    Against a vanishing gradient: clipping makes nothing larger. Where the weights blow up each layer's gradient by a factor
    of its own, the bounded step still goes to the few layers that dominate the norm. Where values are not finite before
    the first update.

Source:
    - Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks, arXiv:1211.5063
    - Zhang et al. 2020, Why gradient clipping accelerates training, arXiv:1905.11881
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_broken_from_the_start
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "gradient_clipping"
ADDRESSES: tuple[RuleId, ...] = ("exploding_gradient", "non_finite")

MAX_NORM = 1.0


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose to clip the gradient's norm to 1."""
    clip = posted.spec.training.clip_grad_norm
    if (clip is not None and clip <= MAX_NORM) or is_broken_from_the_start(finding):
        return []
    why = (
        f"No step is longer than the learning rate times {MAX_NORM:g} (before the optimizer's own scaling), so that one "
        "large gradient cannot throw the weights far off. What makes it large stays as it is."
    )
    patch = set_value(posted.document, ("training", "clip_grad_norm"), MAX_NORM)
    return [Candidate("gradient-clipping", f"Clip the gradient's norm to {MAX_NORM:g}", patch, why)]
