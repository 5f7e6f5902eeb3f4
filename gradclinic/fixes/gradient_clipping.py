"""Bound the norm of the whole gradient, or lift a bound that cuts nearly every one.

When it applies:
    A gradient that explodes, values that are not finite, or single steps that are too long, where no such bound is posted. Where clipping
    acts on nearly every step: the other way round.

What it changes:
    `training.clip_grad_norm` becomes the 90th percentile of the norms that were recorded while the training was healthy, so that what was usual
    stays as it is; under SGD no more than what moves the weights by a hundredth of their size in a step. Without such records, 1.
    A bound that cuts nearly every gradient is raised to that percentile, then taken away, and `clip_grad_value` with it; a rate that is too
    high without the bound comes down to what a range test without it suggests.

What it costs:
    One norm over all gradients a step.

When it is known not to help:
    Against a vanishing gradient: clipping makes nothing larger. Where the weights blow up each layer's gradient by a factor
    of its own, the bounded step still goes to the few layers that dominate the norm. Where values are not finite before
    the first update. Under an adaptive optimizer a bound on every gradient changes nothing: it divides by their size.

Source:
    - Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks, arXiv:1211.5063
    - Seetharaman et al. 2020, AutoClip: adaptive gradient clipping for source separation networks, arXiv:2007.14469
    - Zhang et al. 2020, Why gradient clipping accelerates training, arXiv:1905.11881
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.optimizer import SGD
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import SMALL_UPDATE_RATIO, is_broken_from_the_start
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import FAR_ABOVE, and_rate, learning_rate_of, set_learning_rate

KIND: FixKind = "gradient_clipping"
ADDRESSES: tuple[RuleId, ...] = (
    "exploding_gradient", "non_finite", "learning_rate_too_high", "gradient_clipped_away",
)  # fmt: skip

HABIT = 1.0
"""The norm where none was recorded."""

USUAL = 90
"""Percentile of the norms that are left as they are."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a bound by what was usual, or to lift the one that is posted."""
    if finding.rule == "gradient_clipped_away":
        return _loosened(posted)
    if finding.rule == "learning_rate_too_high" and not isinstance(posted.spec.optimizer, SGD):
        return []  # what every gradient is divided by shrinks with it, and the step stays as long
    clip, norm = posted.spec.training.clip_grad_norm, _bound(posted)
    if (clip is not None and clip <= norm) or is_broken_from_the_start(finding):
        return []
    why = (
        f"No step is longer than the learning rate times {norm:g} (before the optimizer's own scaling), so that one "
        "large gradient cannot throw the weights far off. What makes it large stays as it is."
    )
    patch = set_value(posted.document, ("training", "clip_grad_norm"), norm)
    return [Candidate("gradient-clipping", f"Clip the gradient's norm to {norm:g}", patch, why)]


def _bound(posted: Posted) -> float:
    """Return the norm to clip to: usual while all was well, and no longer a step than the weights bear."""
    measured, optimizer = posted.measured, posted.spec.optimizer
    bounds = [norm for percent, norm in measured.grad_norm_percentile.items() if percent == USUAL]
    if isinstance(optimizer, SGD) and measured.initial_weight_norm and optimizer.lr > 0 and optimizer.momentum < 1:
        # Momentum sums the steps of one direction to 1 / (1 - momentum) of them.
        bounds.append(SMALL_UPDATE_RATIO * measured.initial_weight_norm * (1 - optimizer.momentum) / optimizer.lr)
    return float(f"{min(bounds):.2g}") if bounds and min(bounds) > 0 else HABIT


def _loosened(posted: Posted) -> list[Candidate]:
    """Propose a bound that most gradients pass, then none."""
    training, usual = posted.spec.training, posted.measured.grad_norm_percentile.get(USUAL)
    if training.clip_grad_norm is None and training.clip_grad_value is None:
        return []
    rate = _rate_without(posted)
    values = _without(posted, "clip_grad_value")
    gone = [*_without(posted, "clip_grad_norm"), *values, *rate]
    why = (
        "Nearly every gradient was cut, so that the bound and not the gradient set the length of the steps; without it, or with one that only "
        "what is unusual exceeds, the learning rate does."
    )
    removed = Candidate("gradient-clipping-removed", f"Do not clip the gradient{and_rate(rate)}", gone, why)
    if usual is None or training.clip_grad_norm is None or usual <= training.clip_grad_norm:
        return [removed]
    norm = float(f"{usual:.2g}")
    looser = [*set_value(posted.document, ("training", "clip_grad_norm"), norm), *values, *rate]
    title = f"Clip the gradient's norm to {norm:g} only{and_rate(rate)}"
    return [Candidate("gradient-clipping-looser", title, looser, why), removed]


def _without(posted: Posted, key: str) -> list[Operation]:
    if getattr(posted.spec.training, key) is None:
        return []
    return [{"op": "remove", "path": f"/training/{key}"}]


def _rate_without(posted: Posted) -> list[Operation]:
    """Return the operations for the rate that the gradient bears without the bound."""
    suggested = posted.measured.unclipped_lr
    if suggested is None or suggested / FAR_ABOVE <= learning_rate_of(posted) <= suggested * FAR_ABOVE:
        return []
    return set_learning_rate(posted, suggested)
