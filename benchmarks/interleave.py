"""Timing a watched training against a bare one, in turns short enough that whatever slows the machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch

from benchmarks.models import Training
from benchmarks.watchers import Attach, Watch, bare


@dataclass
class Timed:
    """Seconds of the same steps, bare and watched, by round; and what of it was spent inside the watcher."""

    bare: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Watched over bare, by round."""
        return [w / b for w, b in zip(self.watched, self.bare, strict=True)]

    @property
    def shares(self) -> list[float]:
        """One and the in-loop share: seconds inside the watcher over the rest of the same steps, by round."""
        return [1 + i / (w - i) for i, w in zip(self.inside, self.watched, strict=True)]


@dataclass(frozen=True)
class Turns:
    """How a round is made: so many turns of a block of steps, bare and then watched."""

    rounds: int
    block: int
    turns: int
    skip: int
    """Steps before the first round that are not timed."""


def interleave(training: Training, attach: Attach, plan: Turns, dispatch: dict[str, float]) -> Timed:
    """Time two twins of a training in turns, one bare and one watched.

    Args:
        training: The training whose twins are taken; itself it stays as it is.
        attach: Puts the watcher on the second twin, for the whole measurement.
        plan: The rounds and their turns. What is written every so many steps is told apart rightly only by rounds that
            hold it as often as a long training does.
        dispatch: Seconds that PyTorch takes to call a hook, by kind; see `in_loop.measure_dispatch`.
    """
    plain, observed = training.twin(), training.twin()
    timed = Timed()
    with ExitStack() as stack:
        nothing = stack.enter_context(bare(plain))
        watch = stack.enter_context(attach(observed))
        take_steps(plain, nothing, plan.skip)
        take_steps(observed, watch, plan.skip)
        for _ in range(plan.rounds):
            before = inside_seconds(watch, dispatch)
            times = [
                (take_steps(plain, nothing, plan.block), take_steps(observed, watch, plan.block))
                for _ in range(plan.turns)
            ]
            timed.bare.append(sum(b for b, _ in times))
            timed.watched.append(sum(w for _, w in times))
            timed.inside.append(inside_seconds(watch, dispatch) - before)
    return timed


def take_steps(training: Training, watch: Watch, steps: int) -> float:
    """Train for some steps; return the seconds."""
    wait = _waiting(training)
    with watch.around_block():
        wait()
        began = time.perf_counter()
        for _ in range(steps):
            loss = training.compute_gradients()
            watch.before_update()
            training.optimizer.step()
            watch.after_update(loss)
        wait()
        return time.perf_counter() - began


def inside_seconds(watch: Watch, dispatch: dict[str, float]) -> float:
    """Return the seconds spent inside the watcher so far; 0 where nobody counts."""
    return 0.0 if watch.in_loop is None else watch.in_loop.with_dispatch(dispatch)


def _waiting(training: Training) -> Callable[[], None]:
    """Return what waits until the device has done all it was given."""
    return torch.cuda.synchronize if training.inputs.is_cuda else lambda: None
