"""Ours as a watcher of a training: the recorder as it comes, with other schedules, with another kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmarks.in_loop import InLoop
from benchmarks.models import Training
from gradclinic.contract.training import SIGNALS, Signal
from gradclinic.recorder import Recorder

KERNEL = "GRADCLINIC_RECORDER_KERNEL"


@dataclass(frozen=True)
class Watch:
    """What a tool does in a loop: before the optimizer's step, and after it."""

    before_update: Callable[[], Any] = lambda: None
    after_update: Callable[[Tensor], Any] = lambda _: None
    in_loop: InLoop | None = None
    recorder: Recorder | None = None

    def around_block(self) -> AbstractContextManager[None]:
        """Open what has to be open while steps are taken: hooks that are put on tensors are timed from here."""
        return nullcontext() if self.in_loop is None else self.in_loop.watched()


Attach = Callable[[Training], AbstractContextManager[Watch]]
"""Puts a tool on a training for as long as the block lasts."""


@contextmanager
def bare(_: Training) -> Iterator[Watch]:
    """Watch nothing."""
    yield Watch()


def recording(signals: Mapping[Signal, int] | None = None, kernel: str | None = None) -> Attach:
    """Attach a recorder.

    Args:
        signals: Steps between two records of single signals; by default the library's own schedules.
        kernel: What reads the tensors; by default the library's own choice.
    """

    @contextmanager
    def attach(training: Training) -> Iterator[Watch]:
        in_loop = InLoop()
        with ExitStack() as stack:
            with in_loop.watched(), _environment(KERNEL, kernel):
                recorder = Recorder(training.model, training.optimizer, signals=signals)
                stack.enter_context(recorder)
            yield Watch(after_update=in_loop.wrap(recorder.step), in_loop=in_loop, recorder=recorder)

    return attach


EVERY_SIGNAL: dict[Signal, int] = dict.fromkeys(SIGNALS, 1)
"""Each signal of the contract at every step."""


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for the block, where a value is given."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
