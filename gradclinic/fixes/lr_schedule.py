"""Let the learning rate fall towards the end, or no longer fall too early.

When it applies:
    A loss that oscillates, or a gradient that is mostly noise, where no schedule lets the rate fall: at a constant rate the training wanders
    around the minimum at a distance that grows with the rate. A training that ended too early, or whose steps were too short,
    where the posted schedule had cut the rate to a tenth before the middle.

What it changes:
    `scheduler` becomes half a cosine over the whole training, by steps; then ReduceLROnPlateau, which waits for the validation loss.
    A rate far above what a range test suggests is brought down to it with the change.

What it costs:
    Nothing a step. The rate that has fallen learns more slowly, so that a training that is too short already gets worse.

When it is known not to help:
    Where the loss blows up before the rate has fallen. Where the training is not long enough to come near a minimum. Against a gradient
    that vanishes or explodes by the network's build.

Source:
    - Robbins & Monro 1951, A stochastic approximation method
    - Loshchilov & Hutter 2017, SGDR: stochastic gradient descent with warm restarts, arXiv:1608.03983
    - Bottou, Curtis & Nocedal 2018, Optimization methods for large-scale machine learning, section 4, arXiv:1606.04838
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.scheduler import LinearLR
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import and_rate, bring_down, planned_steps

KIND: FixKind = "lr_schedule"
WANDERS: tuple[RuleId, ...] = ("oscillating_loss", "noisy_gradient", "learning_rate_too_high")
STARVES: tuple[RuleId, ...] = ("undertrained", "learning_rate_too_low", "loss_not_decreasing")
ADDRESSES: tuple[RuleId, ...] = (*WANDERS, *STARVES)

EARLY = 0.5
"""Share of the steps before which a rate that has fallen to a tenth fell too early."""

PLATEAU = {"type": "ReduceLROnPlateau", "factor": 0.3, "patience": 3}
"""Three evaluations without improvement are no chance any more; a third is half a decade."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a cosine, then a plateau, where nothing lets the rate fall; a cosine for a schedule that fell too early."""
    steps = planned_steps(posted)
    scheduler = posted.spec.scheduler
    if steps is None or posted.spec.optimizer.lr == 0:
        return []
    if finding.rule in STARVES:
        return [_in_place(posted, steps)] if scheduler is not None and _fell_early(posted) else []
    if scheduler is not None and not isinstance(scheduler, LinearLR):
        return []
    calm = bring_down(posted)
    why = (
        "At a constant rate the steps end up wandering around the minimum; with a falling one they settle in it. The end of the training is "
        "what is judged, and there the rate is smallest."
    )
    cosine, plateau = _cosine(steps), dict(PLATEAU)
    return [
        Candidate(
            f"lr-schedule-{slug}",
            f"{title}{and_rate(calm)}",
            [*set_value(posted.document, ("scheduler",), value), *calm],
            why,
        )
        for slug, title, value in (
            ("cosine", "Let the learning rate fall along half a cosine", cosine),
            ("plateau", "Cut the learning rate when the validation loss stays where it is", plateau),
        )
    ]


def _in_place(posted: Posted, steps: int) -> Candidate:
    why = (
        f"The schedule had cut the learning rate to a tenth at step {posted.measured.lr_fell_at} of {steps}, so that the rest of the steps "
        "hardly moved anything; half a cosine spends them."
    )
    patch = set_value(posted.document, ("scheduler",), _cosine(steps))
    return Candidate("lr-schedule-longer", "Let the learning rate fall over the whole training", patch, why)


def _fell_early(posted: Posted) -> bool:
    fell_at, steps = posted.measured.lr_fell_at, planned_steps(posted)
    return fell_at is not None and steps is not None and fell_at < EARLY * steps


def _cosine(steps: int) -> dict[str, Any]:
    return {"type": "CosineAnnealingLR", "T_max": steps, "interval": "step"}
