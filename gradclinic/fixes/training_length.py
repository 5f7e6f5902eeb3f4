"""Train for more steps.

When it applies:
    A training that ended while its loss was still clearly falling, or whose loss fell too little and went on falling.

What it changes:
    `training.steps` (or `epochs`) to what the loss needs to come down to a quarter of where it ended, if it goes on as in the last fifth and half as
    fast from then on; two to ten times what it was. A schedule is stretched with it.

What it costs:
    As many times the training's time.

When it is known not to help:
    Where the loss stands still: more of the same steps go nowhere. Where the validation loss rises already.

Source:
    - Godbole et al. 2023, Deep learning tuning playbook
    - Hoffer, Hubara & Soudry 2017, Train longer, generalize better, arXiv:1705.08741
"""

from __future__ import annotations

import math
from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.training import DEFAULT_STEPS
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "training_length"
ADDRESSES: tuple[RuleId, ...] = ("undertrained", "loss_not_decreasing", "learning_rate_too_low")

LEAST_FALL = 0.02
"""Share of the loss that was lost in the last fifth, below which it counts as standing still."""

GOAL = 4.0
"""How many times lower the loss shall come."""

SLOWER = 2.0
"""Losses fall by a power of the steps rather than exponentially, so that the pace of the last fifth does not last."""

LEAST_TIMES, MOST_TIMES = 2, 10

STRETCHED = ("T_max", "T_0", "step_size", "total_iters", "total_steps", "step_size_up", "step_size_down")
"""Keywords of schedulers that count intervals."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose as many steps as the slope of the loss asks for."""
    fall = _fall(posted, finding)
    if fall is None or fall < LEAST_FALL:
        return []
    fifths = math.log(GOAL) / -math.log1p(-min(fall, 0.99)) * SLOWER
    times = min(max(math.ceil(1 + fifths / 5), LEAST_TIMES), MOST_TIMES)
    key = "steps" if posted.spec.training.epochs is None else "epochs"
    now = getattr(posted.spec.training, key) or DEFAULT_STEPS
    patch = [*set_value(posted.document, ("training", key), now * times), *_stretched(posted, times)]
    why = f"The loss fell by {fall:.0%} in the last fifth of the steps; what it would still have learned was cut off."
    return [Candidate("training-length", f"Train {times} times as long, for {now * times} {key}", patch, why)]


def _fall(posted: Posted, finding: Finding) -> float | None:
    if posted.measured.loss_fall is not None:
        return posted.measured.loss_fall
    return next((e.value for e in finding.evidence if e.signal == "loss_fall" and e.value), None)


def _stretched(posted: Posted, times: int) -> list[Operation]:
    """Return the operations that stretch a schedule; those of a chain with it."""
    scheduler = posted.document.get("scheduler")
    return [] if not scheduler else set_value(posted.document, ("scheduler",), _longer(scheduler, times))


def _longer(scheduler: dict[str, Any], times: int) -> dict[str, Any]:
    longer = dict(scheduler)
    for key in STRETCHED:
        if isinstance(longer.get(key), int):
            longer[key] = longer[key] * times
    if "milestones" in longer:
        longer["milestones"] = [milestone * times for milestone in longer["milestones"]]
    if "schedulers" in longer:
        longer["schedulers"] = [_longer(link, times) for link in longer["schedulers"]]
    return longer
