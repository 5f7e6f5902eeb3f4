"""Begin with short steps, and let them grow to the learning rate.

When it applies:
    Where the first steps did the damage: a gradient that exploded, or values that were not finite, in the first tenth of the training, a
    learning rate called too high, units that died. And a loss that does not fall in a model with attention, or under an adaptive optimizer,
    whose first steps rest on an average of hardly any gradients.

What it changes:
    `scheduler` becomes a line from a hundredth of the rate up to it over the first tenth of the steps, then half a cosine; a schedule that is
    posted already stays, behind the line. A rate far above what a range test suggests is brought down to it with the change.

What it costs:
    Nothing a step; a tenth of the training goes by with less than the full rate.

When it is known not to help:
    Where the rate is too high for the whole training and not for its start alone: it breaks a tenth later. Against a gradient that vanishes.
    Where values are not finite before the first update.

Source:
    - Goyal et al. 2017, Accurate, large minibatch SGD, arXiv:1706.02677
    - Liu et al. 2020, On the variance of the adaptive learning rate and beyond, arXiv:1908.03265
    - Xiong et al. 2020, On layer normalization in the transformer architecture, arXiv:2002.04745
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.optimizer import ASGD, SGD, Rprop
from gradclinic.contract.scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, MultiStepLR, StepLR
from gradclinic.contract.sequence import MultiheadAttention, TransformerEncoderLayer
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_broken_from_the_start
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import and_rate, bring_down, planned_steps

KIND: FixKind = "warmup"
ADDRESSES: tuple[RuleId, ...] = (
    "learning_rate_too_high", "exploding_gradient", "non_finite", "dead_units", "loss_not_decreasing",
)  # fmt: skip

SHARE = 0.1
"""Share of the steps; Goyal et al. took 5 of 90 epochs, transformers take up to a tenth."""

START = 0.01
"""Factor at the start."""

FEWEST_STEPS = 20
"""Steps of a training below which a tenth of it is no line."""

STAYS = (StepLR, MultiStepLR, CosineAnnealingLR, CosineAnnealingWarmRestarts)
"""Schedules that can stand behind the line as they are, counted by steps."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a line up to the rate before what is posted."""
    steps = planned_steps(posted)
    if steps is None or steps < FEWEST_STEPS or posted.spec.optimizer.lr == 0 or is_broken_from_the_start(finding):
        return []
    if not _is_about_the_start(posted, finding, steps):
        return []
    scheduler = _with_line(posted, round(SHARE * steps), steps)
    if scheduler is None:
        return []
    calm = bring_down(posted)
    why = (
        "The first gradients come from a network that knows nothing, and adaptive optimizers scale them by an average of hardly any; short "
        "steps get past them without throwing the weights away."
    )
    patch: list[Operation] = [*set_value(posted.document, ("scheduler",), scheduler), *calm]
    return [
        Candidate(
            "warmup", f"Warm the learning rate up over the first {SHARE:.0%} of the steps{and_rate(calm)}", patch, why
        )
    ]


def _is_about_the_start(posted: Posted, finding: Finding, steps: int) -> bool:
    """Whether the first steps are to blame: it showed early, or the model or the optimizer is of the kind that needs it."""
    if finding.rule == "loss_not_decreasing":
        attends = any(
            isinstance(place.layer, TransformerEncoderLayer | MultiheadAttention) for place in posted.places.values()
        )
        return attends or not isinstance(posted.spec.optimizer, SGD | ASGD | Rprop)
    blames_the_rate = finding.cause is None or finding.cause.what == "learning_rate"
    return blames_the_rate and (finding.first_step or 0) <= SHARE * steps


def _with_line(posted: Posted, line: int, steps: int) -> dict[str, Any] | None:
    """Return the schedule with a line before it; None where that would change what follows, or it has one."""
    posted_scheduler = posted.spec.scheduler
    first = {"type": "LinearLR", "start_factor": START, "total_iters": line}
    if posted_scheduler is None:
        rest: dict[str, Any] = {"type": "CosineAnnealingLR", "T_max": steps - line}
    elif isinstance(posted_scheduler, STAYS) and posted_scheduler.interval == "step":
        rest = dict(posted.document["scheduler"])
    else:
        return None
    return {"type": "SequentialLR", "interval": "step", "schedulers": [first, rest], "milestones": [line]}
