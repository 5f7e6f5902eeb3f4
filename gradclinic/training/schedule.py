"""The learning rate schedule of a spec: a `torch.optim.lr_scheduler`, and when it is stepped."""

from __future__ import annotations

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gradclinic.contract import scheduler as contract


class Schedule:
    """A scheduler that knows when to step: each optimizer step, each epoch, or each evaluation."""

    def __init__(self, spec: contract.Scheduler | None, optimizer: Optimizer, steps: int, steps_per_epoch: int) -> None:
        self._every = steps_per_epoch if spec is not None and spec.interval == "epoch" else 1
        intervals = -(-steps // self._every)
        self._scheduler = None if spec is None else _make(spec, optimizer, intervals)

    def after_step(self, done: int) -> None:
        """Hear that `done` optimizer steps are done."""
        if isinstance(self._scheduler, LRScheduler) and not self._follows_evaluations and done % self._every == 0:
            self._scheduler.step()

    def after_evaluation(self, val_loss: float) -> None:
        """Hear of an evaluation; only ReduceLROnPlateau cares."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(val_loss)

    @property
    def _follows_evaluations(self) -> bool:
        return isinstance(self._scheduler, ReduceLROnPlateau)


def _make(spec: contract.Scheduler, optimizer: Optimizer, intervals: int) -> LRScheduler:
    """Make the scheduler; `intervals` is how often it will be stepped in the whole training."""
    if isinstance(spec, contract.SequentialLR):
        links = [_make(link, optimizer, intervals) for link in spec.schedulers]
        return lr_scheduler.SequentialLR(optimizer, links, list(spec.milestones))
    keywords = spec.model_dump(exclude={"type", "interval"})
    if isinstance(spec, contract.OneCycleLR) and spec.total_steps is None:
        keywords["total_steps"] = intervals
    if isinstance(spec, contract.MultiStepLR):
        keywords["milestones"] = list(spec.milestones)
    made: LRScheduler = getattr(lr_scheduler, spec.type)(optimizer, **keywords)
    return made
