"""Take smaller steps, or larger ones where the weights hardly move.

When it applies:
    A gradient that explodes or values that are not finite: a tenth of the learning rate, or the usual upper end if that is
    lower still. A gradient that vanished only after a step that was too long: likewise. A loss that does not fall:
    likewise, unless updates are tiny beside the weights, the learning rate is far below what is usual, or the loss fell by
    short steps; then a higher one.

What it changes:
    `optimizer.lr`.

When it is known not to help:
    Against a gradient that vanishes by activations, weights or depth: the layers differ by orders of magnitude, and one factor for all of them leaves them
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
from gradclinic.fixes.evidence import fell_by_short_steps, is_broken_from_the_start, tiny_update_ratio
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "learning_rate"
ADDRESSES: tuple[RuleId, ...] = ("exploding_gradient", "vanishing_gradient", "non_finite", "loss_not_decreasing")

STEP = 10.0
"""The factor of one change; the scale on which learning rates matter is logarithmic."""

GOOD_UPDATE_RATIO = 1e-3
"""Of an update to its weights; the rule of thumb of cs231n."""

USUAL_UPPER_END = {"SGD": 0.1}
"""The largest learning rate that is usual for an optimizer."""

USUAL_UPPER_END_ADAPTIVE = 0.01
"""The same for the optimizers that rescale each weight's gradient."""


FAR_BELOW = 1e-3
"""Share of the usual upper end at or below which a learning rate is too small by the look of it."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose one learning rate: lower, or higher where the weights hardly move."""
    if is_broken_from_the_start(finding):
        return []
    if finding.rule == "vanishing_gradient" and (finding.cause is None or finding.cause.what != "learning_rate"):
        return []
    optimizer = posted.spec.optimizer
    usual = USUAL_UPPER_END.get(optimizer.type, USUAL_UPPER_END_ADAPTIVE)
    if finding.rule == "loss_not_decreasing":
        ratio = tiny_update_ratio(finding)
        if ratio is not None or optimizer.lr <= usual * FAR_BELOW:
            return [_higher(posted, _raised(optimizer.lr, ratio, usual))]
        if fell_by_short_steps(finding) and optimizer.lr < usual:
            return [_higher(posted, min(optimizer.lr * STEP, usual))]
    return [_lower(posted, min(optimizer.lr / STEP, usual))] if optimizer.lr > 0 else []


SAME = 1.1
"""Factor within which two learning rates are the same."""


def alone(posted: Posted) -> Candidate | None:
    """Return the change of the learning rate alone to what a range test suggests; None where that is what is posted."""
    suggested, lr = posted.measured.suggested_lr, posted.spec.optimizer.lr
    if suggested is None or lr / SAME <= suggested <= lr * SAME:
        return None
    why = (
        "A range test, a short training at rising rates, speaks for it. It is the cheapest change there is, and what any other has "
        "to be better than; it cures no fault of the model."
    )
    return _candidate(posted, "learning-rate-alone", "Raise" if suggested > lr else "Lower", suggested, why)


def _higher(posted: Posted, lr: float) -> Candidate:
    why = (
        "An update is so small beside the weights that they hardly move; about a thousandth of them a step is what "
        "usually trains well."
    )
    return _candidate(posted, "learning-rate-higher", "Raise", lr, why)


def _lower(posted: Posted, lr: float) -> Candidate:
    why = "Steps that overshoot make loss and gradient grow from step to step; shorter ones stay where both fall."
    return _candidate(posted, "learning-rate-lower", "Lower", lr, why)


def _candidate(posted: Posted, slug: str, verb: str, lr: float, why: str) -> Candidate:
    old, new = posted.spec.optimizer.lr, float(f"{lr:.3g}")
    patch = set_value(posted.document, ("optimizer", "lr"), new)
    return Candidate(slug, f"{verb} the learning rate from {old:g} to {new:g}", patch, why)


def _raised(lr: float, ratio: float | None, usual: float) -> float:
    """Return the learning rate that brings updates to a thousandth of the weights, within what is usual."""
    if not ratio:  # nothing to scale by: the middle of the usual range
        return max(usual / math.sqrt(STEP), lr * STEP)
    factor = STEP ** max(1, round(math.log10(GOOD_UPDATE_RATIO / ratio)))
    # Beyond the usual range a tiny ratio says more about the gradient than about the learning rate.
    return min(lr * factor, max(usual, lr * STEP))
