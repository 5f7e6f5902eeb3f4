"""Take smaller steps, or larger ones where the weights hardly move.

When it applies:
    A gradient that explodes or values that are not finite: a tenth of the learning rate, or the usual upper end if that is
    lower still. A loss that does not fall: likewise, unless the evidence says that updates are tiny beside the weights;
    then the learning rate that makes them about a thousandth of the weights.

What it changes:
    `optimizer.lr`.

When it is known not to help:
    Against a vanishing gradient: the layers differ by orders of magnitude, and one factor for all of them leaves them
    so. Where weights drawn too large blow up the gradient. Where values are not finite before the first update.

Source:
    - Bengio 2012, Practical recommendations for gradient-based training of deep architectures, arXiv:1206.5533
    - LeCun et al. 1998, Efficient BackProp
    - Braiek & Khomh 2023, Testing feedforward neural networks training programs, arXiv:2204.00694
"""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_broken_from_the_start, tiny_update_ratio
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "learning_rate"
ADDRESSES: tuple[RuleId, ...] = ("exploding_gradient", "non_finite", "loss_not_decreasing")

STEP = 10.0
"""The factor of one change; the scale on which learning rates matter is logarithmic."""

GOOD_UPDATE_RATIO = 1e-3
"""Of an update to its weights; the rule of thumb of cs231n."""

USUAL_UPPER_END = {"SGD": 0.1}
"""The largest learning rate that is usual for an optimizer."""

USUAL_UPPER_END_ADAPTIVE = 0.01
"""The same for the optimizers that rescale each weight's gradient."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose one learning rate: lower, or higher where the evidence says that the weights hardly move."""
    if is_broken_from_the_start(finding):
        return []
    lr, optimizer = posted.spec.optimizer.lr, posted.spec.optimizer.type
    usual = USUAL_UPPER_END.get(optimizer, USUAL_UPPER_END_ADAPTIVE)
    ratio = tiny_update_ratio(finding) if finding.rule == "loss_not_decreasing" else None
    if finding.rule == "loss_not_decreasing" and (ratio is not None or lr == 0):
        new = _rounded(_raised(lr, ratio, usual))
        why = (
            f"An update is so small beside the weights that they hardly move; about {GOOD_UPDATE_RATIO:g} of them a step "
            "is what trains well."
        )
        slug, verb = "learning-rate-higher", "Raise"
    elif lr > 0:
        new = _rounded(min(lr / STEP, usual))
        why = "Steps that overshoot make loss and gradient grow from step to step; shorter ones stay where both fall."
        slug, verb = "learning-rate-lower", "Lower"
    else:
        return []
    patch = set_value(posted.document, ("optimizer", "lr"), new)
    return [Candidate(slug, f"{verb} the learning rate from {lr:g} to {new:g}", patch, why)]


def _raised(lr: float, ratio: float | None, usual: float) -> float:
    if lr == 0:
        return usual / STEP
    if not ratio:  # nothing moves at all, so there is no scale to go by
        return max(usual, lr * STEP)
    factor = STEP ** max(1, round(math.log10(GOOD_UPDATE_RATIO / ratio)))
    # Beyond the usual range a tiny ratio says more about the gradient than about the learning rate.
    return min(lr * factor, max(usual, lr * STEP))


def _rounded(lr: float) -> float:
    return float(f"{lr:.3g}")
