"""What the callbacks share: a recorder from a training's start to its end, and where its history goes. Knows no framework."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.loss import _Loss as Loss
from torch.optim import Optimizer

from gradclinic.client import Client
from gradclinic.client.streaming import Stream
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Run
from gradclinic.contract.training import Signal
from gradclinic.diagnosis import diagnose
from gradclinic.history import History
from gradclinic.history.facts import RunError
from gradclinic.recorder import Recorder, schedule_of
from gradclinic.recorder.rows import RESERVED

CLASSIFICATION = frozenset({"CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss"})
REGRESSION = frozenset({"MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"})
"""What a loss says about the task, where it says anything."""

MAX_WORDS, MAX_NAME = 5_000, 200
"""Characters of an error's message and of its class that are kept; a service takes no more."""

MAX_SIGNAL = 100
"""Characters in the name of a signal."""

_NO_NAME = re.compile(r"[^A-Za-z0-9_.:@-]")
"""What cannot stand in the name of a signal (`gradclinic.contract.external.SIGNAL_NAME`)."""


class Recording:
    """Records one training after the other, each by a recorder of its own.

    Args:
        every: Multiplies the schedule of every signal, as in `Recorder`.
        signals: Steps between two records of single signals, as in `Recorder`.
        save_to: Where the history is saved when a training ends, also by an exception.
        sink: Takes the history in parts while it is recorded; nothing of it is kept here then.
        client: Streams the history to a service, as a run called `name`.
        name: Of that run.

    Raises:
        ValueError: Both or all three of `save_to`, `sink` and `client` are given, there is no such signal, or
            no folder to save to.
    """

    def __init__(  # noqa: PLR0913 - the options of a callback, each by its keyword
        self,
        *,
        every: int,
        signals: Mapping[Signal, int] | None,
        save_to: Path | str | None,
        sink: Callable[[History], None] | None,
        client: Client | None,
        name: str | None,
    ) -> None:
        if sum(given is not None for given in (save_to, sink, client)) > 1:
            raise ValueError(
                "Give one of save_to, sink and client: what is streamed is kept by whoever takes it, and not here."
            )
        schedule_of(every, signals)  # refuses here what the recorder would refuse only when the training starts
        self._every = every
        self._signals = signals
        self._save_to = None if save_to is None else Path(save_to)
        if self._save_to is not None and not self._save_to.absolute().parent.is_dir():
            # Said now, and not when a training of hours has ended.
            raise ValueError(f"save_to is {save_to}, and there is no folder {self._save_to.absolute().parent}.")
        self._sink = sink
        self._client = client
        self._name = name
        self._stream: Stream | None = None
        self._recorder: Recorder | None = None
        self._history: History | None = None
        self.steps = 0
        """Rows closed of the training under way, or of the last one."""

    @property
    def is_on(self) -> bool:
        """Tell whether a training is being recorded."""
        return self._recorder is not None

    @property
    def recorder(self) -> Recorder:
        """The recorder of the training that is under way."""
        if self._recorder is None:
            raise RuntimeError("No training is being recorded.")
        return self._recorder

    def begin(self, model: nn.Module, optimizers: Sequence[Optimizer], facts: Mapping[str, Any]) -> None:
        """Attach a new recorder. One that an exception left attached is taken off first."""
        self.end()
        self._history, self.steps = None, 0
        self._stream = None if self._client is None else self._client.stream(name=self._name)
        try:
            recorder = Recorder(
                model,
                optimizers,
                every=self._every,
                signals=self._signals,
                sink=self._stream if self._stream is not None else self._sink,
            )
            recorder.facts = recorder.facts.model_copy(update=_loss_facts(model) | dict(facts))
            recorder.__enter__()
        except BaseException as error:
            if self._stream is not None:
                self._stream.finish("failed", error=error)
            raise
        self._recorder = recorder

    def step(self, loss: Any, **values: float) -> None:
        """Close the row of an optimizer step."""
        self.recorder.step(loss, **values)
        self.steps += 1

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Tell more of the training under way."""
        self.recorder.facts = self.recorder.facts.model_copy(update=dict(facts))

    def record(self, values: Mapping[str, float]) -> None:
        """Add numbers to the step that was closed last; before the first one there is nothing to add them to.

        Frameworks name them more freely than a history does: `f1/macro` becomes `f1_macro`, `grad_norm` `_grad_norm`.
        """
        if self._recorder is not None and self.steps:
            self._recorder.record(**{_name_of(name): value for name, value in values.items()})

    def end(self, error: BaseException | None = None) -> None:
        """Detach the recorder, if one is attached, and let its history go where it should."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        if isinstance(error, Exception):
            words = str(error).encode("utf-8", "replace").decode().replace("\0", " ")[:MAX_WORDS]
            said = RunError(step=self.steps, type=type(error).__name__[:MAX_NAME], message=words)
            recorder.facts = recorder.facts.model_copy(update={"error": said})
        recorder.__exit__(None, None, None)
        if self._stream is not None:
            self._stream.finish("succeeded" if error is None else "failed", error=error)
        elif self._sink is None:
            self._history = recorder.history
            if self._save_to is not None:
                self._history.save(self._save_to)

    @property
    def history(self) -> History:
        """What was recorded of the last training, or of the one under way so far."""
        if self._sink is not None or self._client is not None:
            raise RuntimeError("The history went to the sink or the service as it was recorded; it is not kept here.")
        if self._recorder is not None:
            return self._recorder.history
        if self._history is None:
            raise RuntimeError("There is no history: no training was recorded by this callback in this process.")
        return self._history

    @property
    def run(self) -> Run | None:
        """The run of the last training at the service, as that showed it last."""
        return None if self._stream is None else self._stream.run

    @property
    def diagnosis(self) -> Diagnosis:
        """What the history shows: worked out here, or by the service that it was streamed to."""
        if self._client is None:
            return diagnose(self.history)
        if self.run is None:
            raise RuntimeError("The service has no history of this callback's to judge.")
        return self._client.run_diagnosis(self.run.id)


class Recorded:
    """What a callback shows of its recording."""

    _recording: Recording

    @property
    def history(self) -> History:
        """What was recorded of the last training."""
        return self._recording.history

    @property
    def diagnosis(self) -> Diagnosis:
        """What the history shows: worked out here, or by the service that it was streamed to."""
        return self._recording.diagnosis

    @property
    def run(self) -> Run | None:
        """The run of the last training at the service that it was streamed to."""
        return self._recording.run


def _name_of(number: str) -> str:
    """Make a name that a history can hold out of a framework's."""
    name = _NO_NAME.sub("_", number)
    return f"_{name}"[:MAX_SIGNAL] if name in RESERVED or not re.match("[A-Za-z_]", name) else name[:MAX_SIGNAL]


def _loss_facts(model: nn.Module) -> dict[str, Any]:
    """Tell the loss, and the task by it, where the model holds one loss module."""
    found = {type(module).__name__ for module in model.modules() if isinstance(module, Loss)}
    if len(found) != 1:
        return {}
    (loss,) = found
    return {"loss": loss, "task": task_of(loss)}


def task_of(loss: str) -> str | None:
    """Tell the task by the name of a loss class, where that decides it."""
    if loss in CLASSIFICATION:
        return "classification"
    return "regression" if loss in REGRESSION else None
