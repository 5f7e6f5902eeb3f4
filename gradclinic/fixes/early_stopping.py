"""End the training when the validation loss no longer falls, and keep the best weights.

When it applies:
    A model that learns its training data by heart: its validation loss rose after it had been lower.

What it changes:
    `training.early_stopping` on the validation loss with `restore_best`, and a patience of a tenth of the evaluations, at least three. Where the best came within the first
    evaluations, it evaluates more often.

What it costs:
    Nothing: it ends earlier. One copy of the weights.

When it is known not to help:
    Where the validation part is so small that its best moment is luck. It makes nothing better than it was at its best. Against anything but overfitting.

Source:
    - Prechelt 1998, Early stopping - but when?
    - Goodfellow, Bengio & Courville 2016, Deep learning, section 7.8
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import planned_steps

KIND: FixKind = "early_stopping"
ADDRESSES: tuple[RuleId, ...] = ("overfitting",)

LEAST_PATIENCE = 3
"""Evaluations without improvement that can be chance."""

SHARE = 0.1
"""Share of the evaluations."""

FEWEST_BEFORE_BEST = 5
"""Evaluations up to the best one, below which it was hardly seen when that was."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:  # noqa: ARG001 - every fix module has one signature
    """Propose to stop at the best evaluation, or to keep its weights where stopping is posted already."""
    now = posted.spec.training.early_stopping
    why = "What is learned after the validation loss turned is true of the training rows alone; the weights from before that are kept."
    if now is not None:
        if now.restore_best:
            return []
        patch = set_value(posted.document, ("training", "early_stopping", "restore_best"), value=True)
        return [Candidate("early-stopping", "Keep the weights of the best evaluation", patch, why)]
    every, more_often = _interval(posted)
    steps = planned_steps(posted)
    patience = LEAST_PATIENCE if steps is None or every is None else max(LEAST_PATIENCE, round(SHARE * steps / every))
    stopping: dict[str, Any] = {"monitor": "val_loss", "patience": patience, "restore_best": True}
    patch = [*set_value(posted.document, ("training", "early_stopping"), stopping), *more_often]
    if more_often and "training" not in posted.document:
        patch = [{"op": "add", "path": "/training", "value": {"early_stopping": stopping, "evaluate_every": every}}]
    title = f"Stop after {patience} evaluations without a better validation loss, and keep the best weights"
    return [Candidate("early-stopping", title, patch, why)]


def _interval(posted: Posted) -> tuple[int | None, list[Operation]]:
    """Return the steps between two evaluations, and the operations that make them more frequent where the best came too soon."""
    every, best = posted.spec.training.evaluate_every or posted.measured.steps_per_epoch, posted.measured.best_step
    if every is None or best is None or best >= FEWEST_BEFORE_BEST * every:
        return every, []
    finer = max(1, best // FEWEST_BEFORE_BEST)
    if finer >= every:
        return every, []
    return finer, set_value(posted.document, ("training", "evaluate_every"), finer)
