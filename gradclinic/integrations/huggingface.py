"""A callback that records a training of Hugging Face's Trainer: `Trainer(..., callbacks=[RecorderCallback()])`."""

# ruff: noqa: ARG002 - the methods' arguments are transformers'

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sized
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradclinic.client import Client
from gradclinic.contract.training import Signal
from gradclinic.history import History
from gradclinic.integrations.recording import Recorded, Recording, task_of

try:
    from accelerate.state import GradientState  # type: ignore[import-untyped]  # it ships no types
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The callback for Hugging Face needs {error.name}, which is not installed: pip install 'gradclinic[huggingface]'",
        name=error.name,
    ) from error

LOSSES = {
    "regression": "MSELoss",
    "single_label_classification": "CrossEntropyLoss",
    "multi_label_classification": "BCEWithLogitsLoss",
}
"""The loss that a model takes for its `config.problem_type`."""

TOKEN_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM", "ForTokenClassification")
"""Ends of the classes' names whose loss is a cross entropy over tokens, whatever the problem type."""

SPEEDS = ("_runtime", "_per_second", "_preparation_time", "epoch")
"""Ends of the names of numbers that say nothing about an evaluation's outcome."""


class RecorderCallback(Recorded, TrainerCallback):
    """Records gradients once per optimizer step, from the start of `train` to its end; steps count from each start.

    Gradients are measured at the end of the last backward pass of a step, which is before the Trainer clips them. Under
    a `GradScaler` (fp16) they are scaled there, so that they are measured behind the clipping; `history.facts` says which.
    The loss of a step is what the model returned as `loss`, as it was propagated back, over all batches that the step
    accumulates. Of several processes the first one records.

    The Trainer tells its callbacks nothing of an exception. To be rid of the recorder's hooks then too, and to keep what
    was recorded until then, train inside of a `with` block:

        with RecorderCallback(save_to="history.arrow") as callback:
            Trainer(model, args, train_dataset=data, callbacks=[callback]).train()

    Args:
        every: Multiplies the schedule of every signal (`gradclinic.recorder.schedule`).
        signals: Steps between two records of single signals; 0 leaves one out.
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
        save_to: Path | str | None = None,
        sink: Callable[[History], None] | None = None,
        client: Client | None = None,
        name: str | None = None,
    ) -> None:
        self._recording = Recording(every=every, signals=signals, save_to=save_to, sink=sink, client=client, name=name)
        self._handles: list[RemovableHandle] = []
        self._losses: list[Tensor] = []
        self._knows_loss = False
        self._scaler: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detach(error)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach the recorder.

        Raises:
            ValueError: The training is sharded, or replicated within this process.
        """
        if args.n_gpu > 1 or args.deepspeed or args.fsdp:
            raise ValueError(
                "Under DataParallel, DeepSpeed or FSDP no process has whole gradients, so that none can be recorded. Record a "
                "training in one process, or under DistributedDataParallel (torchrun, accelerate launch)."
            )
        self._detach()
        if not state.is_world_process_zero:
            return
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        self._scaler, self._knows_loss = getattr(optimizer, "scaler", None), False
        try:
            self._recording.begin(model, [_unwrapped(optimizer)], _facts_of(args, state, kwargs))
            self._handles.append(model.register_forward_hook(self._watch_output))
        except BaseException:
            self._detach()
            raise

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the row: the weights are new, the gradients not yet thrown away."""
        if self._recording.is_on:
            self._recording.step(sum(self._losses) if self._losses else None)
            self._losses.clear()
            if self._recording.steps == 1:
                self._recording.add_facts(_loss_facts_of(kwargs["model"]))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the logged loss, the mean since the last time, where the loss is not one that the model returns."""
        if not self._knows_loss and logs and "loss" in logs:
            self._recording.record({"loss": float(logs["loss"])})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record what the evaluation showed: `eval_loss` as `val_loss`, other numbers without their `eval_`."""
        self._recording.record(_numbers_of(metrics or {}))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Detach the recorder, and let the history go where it should."""
        self._detach()

    def _watch_output(self, model: nn.Module, _inputs: Any, output: Any) -> None:
        """Put hooks on what the model gives back, to learn of its loss and of the backward pass."""
        if not (model.training and torch.is_grad_enabled()):
            return
        loss = _loss_of(output)
        if loss is not None:
            loss.register_hook(partial(self._on_loss, loss.detach()))  # type: ignore[no-untyped-call]  # PyTorch types it not
        # A Trainer with a loss of its own does not propagate the model's back, but something else of its output.
        for value in _differentiable(output):
            value.register_hook(self._on_backward)  # type: ignore[no-untyped-call]  # likewise

    def _on_loss(self, loss: Tensor, gradient: Tensor) -> None:
        """Remember the loss, times what the Trainer divided or multiplied it by: that is its gradient."""
        scale = 1.0 if self._scaler is None else self._scaler.get_scale()
        self._losses.append(loss * (gradient / scale))
        self._knows_loss = True

    def _on_backward(self, _gradient: Tensor) -> None:
        if self._scaler is None and GradientState().sync_gradients:
            _after_backward(self._measure)

    def _measure(self) -> None:
        if self._recording.is_on:
            self._recording.recorder.measure()

    def _detach(self, error: BaseException | None = None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._losses.clear()
        self._recording.end(error)


def _after_backward(call: Callable[[], None]) -> None:
    """Call at the end of the backward pass that is under way, when all gradients are there.

    No callback of the Trainer's is called between its backward pass and its clipping, and hooks on parameters cannot know
    which of them is the last. This is how PyTorch's own DistributedDataParallel and FSDP wait for the end. It is asked for
    twice, to come behind what they do then: only there the gradients of all processes are joined.
    """
    queue = torch.autograd.Variable._execution_engine.queue_callback  # noqa: SLF001 - see above
    queue(lambda: queue(call))


def _unwrapped(optimizer: Any) -> Optimizer:
    """Return PyTorch's own optimizer from within those of accelerate."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer  # type: ignore[no-any-return]  # it comes out of a dict


def _loss_of(output: Any) -> Tensor | None:
    """Return the loss from what a model gives back: by its name, or first in a tuple as a single number."""
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if loss is None and isinstance(output, tuple) and output and isinstance(output[0], Tensor) and not output[0].dim():
        loss = output[0]
    return loss if isinstance(loss, Tensor) and loss.requires_grad and loss.numel() == 1 else None


def _differentiable(output: Any) -> list[Tensor]:
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else (output,)
    return [value for value in values if isinstance(value, Tensor) and value.requires_grad]


def _numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    told = {
        name.removeprefix("eval_"): float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not name.endswith(SPEEDS)
    }
    return {"val_loss" if name == "loss" else name: value for name, value in told.items()}


def _facts_of(args: TrainingArguments, state: TrainerState, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Tell how long the training is to be, where that is known."""
    loader = kwargs.get("train_dataloader")
    batches = len(loader) if isinstance(loader, Sized) else None
    return {
        "steps_planned": state.max_steps - state.global_step,
        "steps_per_epoch": None if batches is None else math.ceil(batches / args.gradient_accumulation_steps),
    }


def _loss_facts_of(model: nn.Module) -> dict[str, Any]:
    """Tell the loss of a model of transformers, which decides on it in its first forward pass."""
    loss = LOSSES.get(getattr(getattr(model, "config", None), "problem_type", None) or "")
    if loss is None and type(model).__name__.endswith(TOKEN_MODELS):
        loss = "CrossEntropyLoss"
    return {} if loss is None else {"loss": loss, "task": task_of(loss)}
