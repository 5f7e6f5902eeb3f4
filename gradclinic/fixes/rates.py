"""Where a spec says how fast and how long it trains, and the operations that change it."""

from __future__ import annotations

from gradclinic.contract.dataset import facts_of_rows
from gradclinic.contract.scheduler import CyclicLR, OneCycleLR
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted

SAME = 1.1
"""Factor within which two learning rates are the same."""

FAR_ABOVE = 3.0
"""Factor above the measured rate from which a posted one is brought down to it when something else is changed, too: up to it
the two differ by no more than range tests with other seeds do."""


def learning_rate_of(posted: Posted) -> float:
    """Return the largest rate that is trained with: a cycle writes over that of the optimizer."""
    scheduler = posted.spec.scheduler
    return scheduler.max_lr if isinstance(scheduler, OneCycleLR | CyclicLR) else posted.spec.optimizer.lr


def set_learning_rate(posted: Posted, lr: float) -> list[Operation]:
    """Return the operations that set the largest rate; the lower end of a cycle keeps its distance."""
    scheduler, document = posted.spec.scheduler, posted.document
    if isinstance(scheduler, OneCycleLR):
        return set_value(document, ("scheduler", "max_lr"), lr)
    if isinstance(scheduler, CyclicLR):
        base = float(f"{scheduler.base_lr * lr / scheduler.max_lr:.3g}")
        return [*set_value(document, ("scheduler", "base_lr"), base), *set_value(document, ("scheduler", "max_lr"), lr)]
    return set_value(document, ("optimizer", "lr"), lr)


def bring_down(posted: Posted) -> list[Operation]:
    """Return the operations that bring a rate far above the measured one down to it, as a companion of another change."""
    suggested = posted.measured.suggested_lr
    if suggested is None or learning_rate_of(posted) <= FAR_ABOVE * suggested:
        return []
    return set_learning_rate(posted, suggested)


def and_rate(operations: list[Operation]) -> str:
    """Return how the operations of a companion rate end the title of a fix."""
    return f" and a learning rate of {operations[-1]['value']:g}" if operations else ""


def planned_steps(posted: Posted) -> int | None:
    """Return the optimizer steps of the whole training; None where the rows of its data are not known."""
    if posted.measured.steps is not None:
        return posted.measured.steps
    if posted.spec.training.epochs is None:
        return posted.spec.training.total_steps(0)
    rows = train_rows(posted)
    return None if rows is None else posted.spec.total_steps(rows)


def train_rows(posted: Posted) -> int | None:
    """Return the rows of the training part, as far as they are known."""
    raw = posted.spec.data.raw_facts()
    if raw is not None:
        return facts_of_rows(posted.spec.data, raw).train
    per_epoch, batch = posted.measured.steps_per_epoch, posted.measured.batch_size
    return None if per_epoch is None or batch is None else per_epoch * batch
