"""A callback that records a Lightning training: `Trainer(callbacks=[RecorderCallback()])`."""

# ruff: noqa: ARG002 - the methods' arguments are Lightning's

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradclinic.client import Client
from gradclinic.contract.training import Signal
from gradclinic.history import History
from gradclinic.integrations.recording import Recorded, Recording

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The callback for Lightning needs {error.name}, which is not installed: pip install 'gradclinic[lightning]'",
        name=error.name,
    ) from error

METRICS = {
    "val_loss": ("val_loss", "val/loss"),
    "accuracy": ("val_accuracy", "val/accuracy", "val_acc", "val/acc"),
    "mae": ("val_mae", "val/mae"),
    "r2": ("val_r2", "val/r2"),
}
"""What is recorded of an evaluation, and under which names modules log it by habit."""

SHARDED = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)
"""Strategies under which no process has the whole of a parameter or of its gradient."""


class RecorderCallback(Recorded, Callback):
    """Records gradients once per optimizer step, from the start of `fit` to its end, also where that is an exception.

    Gradients are measured after unscaling and before Lightning's clipping. The loss of a step is what was propagated
    back for it, over all batches that it accumulates. With several optimizers, a step of the history ends with the batch, or
    where one of them steps again. Of several processes the first one records.

    Args:
        every: Multiplies the schedule of every signal (`gradclinic.recorder.schedule`).
        signals: Steps between two records of single signals; 0 leaves one out.
        metrics: Numbers to record after each validation: by their name here, the name by which the module logs it,
            such as `{"val_loss": "valid/loss"}`. By default those of `METRICS`.
        save_to: File that the history is saved to at the end; an earlier one is overwritten.
        sink: Takes the history in parts while it is recorded. It is not kept then.
        client: Streams the history to a service, as a run called `name`. It is not kept then.
        name: Of that run.
    """

    def __init__(  # noqa: PLR0913 - the options, each by its keyword
        self,
        *,
        every: int = 1,
        signals: Mapping[Signal, int] | None = None,
        metrics: Mapping[str, str] | None = None,
        save_to: Path | str | None = None,
        sink: Callable[[History], None] | None = None,
        client: Client | None = None,
        name: str | None = None,
    ) -> None:
        self._recording = Recording(every=every, signals=signals, save_to=save_to, sink=sink, client=client, name=name)
        self._metrics = METRICS if metrics is None else {ours: (theirs,) for ours, theirs in metrics.items()}
        self._handles: list[RemovableHandle] = []
        self._measured: set[Optimizer] = set()
        self._losses: list[Tensor] = []  # of the row that is open
        self._pending: list[Tensor] = []  # propagated back since an optimizer stepped last

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the recorder.

        Raises:
            ValueError: The strategy shards the parameters.
        """
        if isinstance(trainer.strategy, SHARDED):
            raise ValueError(  # noqa: TRY004 - a choice of the user's, no wrong type
                f"Under {type(trainer.strategy).__name__} no process has whole gradients, so that none can be recorded. "
                "Record a training in one process, or under DDP."
            )
        if not trainer.is_global_zero:
            return
        for gathered in (self._measured, self._losses, self._pending):
            gathered.clear()
        several = len(trainer.optimizers) > 1
        # Before the recorder's own hooks: the row has to be closed before the recorder sees the next step.
        self._handles += [one.register_step_pre_hook(self._before_update) for one in trainer.optimizers if several]
        try:
            self._recording.begin(pl_module, trainer.optimizers, _facts_of(trainer))
            # Behind them: a module that steps by hand may do so several times in a batch.
            self._handles += [
                one.register_step_post_hook(self._after_update) for one in trainer.optimizers if not several
            ]
        except BaseException:
            self._detach()
            raise

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember what is propagated back."""
        if self._recording.is_on:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            scale = 1.0 if scaler is None else scaler.get_scale()
            self._pending.append(loss.detach() / scale)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Measure: gradients are whole and unscaled, and not clipped yet."""
        if self._recording.is_on:
            self._recording.recorder.measure(optimizer)
            self._measured.add(optimizer)
            self._losses += self._pending
            self._pending.clear()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Close the row, if an optimizer stepped in this batch."""
        self._close_step()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record what the validation showed."""
        logged = trainer.callback_metrics
        found = {
            ours: next((logged[one] for one in theirs if one in logged), None) for ours, theirs in self._metrics.items()
        }
        self._recording.record({ours: float(value) for ours, value in found.items() if value is not None})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Detach the recorder, and let the history go where it should."""
        self._detach()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Do the same, and note what was raised."""
        self._detach(exception)

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        if optimizer in self._measured:
            self._close_step()

    def _after_update(self, *_: Any) -> None:
        self._close_step()

    def _close_step(self) -> None:
        if self._recording.is_on and self._measured:
            self._recording.step(sum(self._losses) if self._losses else None)
            self._losses.clear()
            self._measured.clear()

    def _detach(self, error: BaseException | None = None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._recording.end(error)


def _facts_of(trainer: Trainer) -> dict[str, Any]:
    """Tell how long the training is to be, where Lightning knows."""
    steps = trainer.estimated_stepping_batches
    batches = trainer.num_training_batches / trainer.accumulate_grad_batches
    return {
        "steps_planned": int(steps) if 0 < steps < math.inf else None,
        "steps_per_epoch": math.ceil(batches) if 0 < batches < math.inf else None,
    }
