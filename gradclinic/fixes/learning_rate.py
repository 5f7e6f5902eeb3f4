"""Take shorter steps, or longer ones where the weights hardly move.

When it applies:
    Lower where steps overshoot: a learning rate called too high, a loss that oscillates or a gradient that is mostly noise, a gradient that
     Higher where the weights
    hardly move, clipping shortens nearly every step, or the training ended too early. A loss that does not fall: whichever way the
    range test points, else the way that the updates point.

What it changes:
    `optimizer.lr`, or the peak of a cycle in `scheduler`, to what a range test of the spec suggests: a short training at rising
    rates. Where none was made, or it points the other way: a tenth of the posted rate, or the rate at which updates are a thousandth
    of the weights. Of a lower one then a tenth.

What it costs:
    Nothing: a step takes as long as before. Half the rate may need twice the steps.

When it is known not to help:
    Against a gradient that vanishes by activations, weights or depth: the layers differ by orders of magnitude, and one factor for all of them leaves them
    so. Where weights drawn too large blow up the gradient. Where values are not finite before the first update.

Source:
    - Smith 2017, Cyclical learning rates for training neural networks, arXiv:1506.01186
    - Bengio 2012, Practical recommendations for gradient-based training of deep architectures, arXiv:1206.5533
    - LeCun et al. 1998, Efficient BackProp
    - Braiek & Khomh 2023, Testing feedforward neural networks training programs, arXiv:2204.00694
"""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import fell_by_short_steps, is_broken_from_the_start, tiny_update_ratio
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import SAME, learning_rate_of, set_learning_rate

KIND: FixKind = "learning_rate"
LOWERS: tuple[RuleId, ...] = (
    "learning_rate_too_high", "exploding_gradient", "vanishing_gradient", "non_finite", "oscillating_loss", "noisy_gradient",
    "dead_units",
)  # fmt: skip
RAISES: tuple[RuleId, ...] = ("learning_rate_too_low", "unchanged_weights", "undertrained")
ADDRESSES: tuple[RuleId, ...] = (*LOWERS, *RAISES, "loss_not_decreasing")

STEP = 10.0
"""The factor of one change; the scale on which learning rates matter is logarithmic."""

GOOD_UPDATE_RATIO = 1e-3
"""Of an update to its weights; the rule of thumb of cs231n."""

FAST_UPDATE_RATIO = 0.1
"""Of an update to its weights, beyond which a rate is raised on no account: what TheDeepChecker calls fast."""

USUAL_UPPER_END = {"SGD": 0.1}
"""The largest learning rate that is usual for an optimizer."""

USUAL_UPPER_END_ADAPTIVE = 0.01
"""The same for the optimizers that rescale each weight's gradient."""

FAR_BELOW = 1e-3
"""Share of the usual upper end at or below which a learning rate is too small by the look of it."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a lower learning rate, and a lower one still, or a higher one where the weights hardly move."""
    if is_broken_from_the_start(finding):
        return []
    cause = finding.cause.what if finding.cause else None
    if cause != "learning_rate" and (finding.rule == "vanishing_gradient" or (finding.rule == "dead_units" and cause)):
        return []
    if finding.rule in RAISES:
        return _higher(posted, finding)
    if finding.rule in LOWERS:
        return _lower(posted)
    return _higher(posted, finding) if _moves_too_little(posted, finding) else _lower(posted)


def alone(posted: Posted) -> Candidate | None:
    """Return the change of the learning rate alone to what a range test suggests; None where that is what is posted."""
    suggested, lr = posted.measured.suggested_lr, learning_rate_of(posted)
    if suggested is None or lr / SAME <= suggested <= lr * SAME:
        return None
    why = (
        "A range test, a short training at rising rates, speaks for it. It is the cheapest change there is, and what any other has "
        "to be better than; it cures no fault of the model."
    )
    return _candidate(posted, "learning-rate-alone", "Raise" if suggested > lr else "Lower", suggested, why)


def _moves_too_little(posted: Posted, finding: Finding) -> bool:
    """Say which way the rate is wrong of a loss that does not fall: by the range test, else by the updates."""
    suggested, lr = posted.measured.suggested_lr, learning_rate_of(posted)
    if suggested is not None and not lr / SAME <= suggested <= lr * SAME:
        return suggested > lr
    usual = _usual_upper_end(posted)
    if tiny_update_ratio(finding) is not None or lr <= usual * FAR_BELOW:
        return True
    return fell_by_short_steps(finding) and lr < usual


def _higher(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the measured rate where it is higher, and not so high that updates would be out of proportion."""
    suggested, lr, usual = posted.measured.suggested_lr, learning_rate_of(posted), _usual_upper_end(posted)
    ratio = _update_ratio(finding)
    why = (
        "An update is so small beside the weights that they hardly move; about a thousandth of them a step is what "
        "usually trains well."
    )
    if suggested is not None and suggested > lr * SAME:
        bound = lr * FAST_UPDATE_RATIO / ratio if ratio else math.inf
        raised = max(min(suggested, bound), lr * STEP) if bound < suggested else suggested
        return [_candidate(posted, "learning-rate-higher", "Raise", min(suggested, raised), why)]
    if suggested is not None and finding.rule != "unchanged_weights":
        return []  # measured, and no higher: what is missing is something else than length of the steps
    tiny = tiny_update_ratio(finding)
    if tiny is None and finding.rule == "loss_not_decreasing" and lr > usual * FAR_BELOW:
        return [_candidate(posted, "learning-rate-higher", "Raise", min(lr * STEP, usual), why)]
    if lr and tiny is None and finding.rule == "undertrained":
        return [_candidate(posted, "learning-rate-higher", "Raise", lr * math.sqrt(STEP), why)] if lr < usual else []
    return [_candidate(posted, "learning-rate-higher", "Raise", _raised(lr, tiny, usual), why)]


def _lower(posted: Posted) -> list[Candidate]:
    """Propose the measured rate where it is lower, then a tenth of it; else a tenth of the posted one."""
    suggested, lr = posted.measured.suggested_lr, learning_rate_of(posted)
    if lr <= 0:
        return []
    why = "Steps that overshoot make loss and gradient grow from step to step; shorter ones stay where both fall."
    measured = suggested is not None and suggested < lr / SAME
    first = suggested if measured and suggested is not None else min(lr / STEP, _usual_upper_end(posted))
    still = f"{why} One rate is a guess" + (
        ", if a measured one: a whole training can need shorter ones." if measured else "."
    )
    return [
        _candidate(posted, "learning-rate-lower", "Lower", first, why),
        _candidate(posted, "learning-rate-lower-still", "Lower", first / STEP, still),
    ]


def _candidate(posted: Posted, slug: str, verb: str, lr: float, why: str) -> Candidate:
    old, new = learning_rate_of(posted), float(f"{lr:.3g}")
    return Candidate(slug, f"{verb} the learning rate from {old:g} to {new:g}", set_learning_rate(posted, new), why)


def _usual_upper_end(posted: Posted) -> float:
    return USUAL_UPPER_END.get(posted.spec.optimizer.type, USUAL_UPPER_END_ADAPTIVE)


def _update_ratio(finding: Finding) -> float | None:
    ratios = [e.value for e in finding.evidence if e.signal == "update_ratio" and e.value]
    return min(ratios, default=None)


def _raised(lr: float, ratio: float | None, usual: float) -> float:
    """Return the learning rate that brings updates to a thousandth of the weights, within what is usual."""
    if not ratio:  # nothing to scale by: the middle of the usual range
        return max(usual / math.sqrt(STEP), lr * STEP)
    factor = STEP ** max(1, round(math.log10(GOOD_UPDATE_RATIO / ratio)))
    # Beyond the usual range a tiny ratio says more about the gradient than about the learning rate.
    return min(lr * factor, max(usual, lr * STEP))
