"""The recorder: it hooks into a training loop, says what is measured when, and hands over what was recorded.

It reads and never writes: the same seed with and without it gives the same weights, bit for bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradclinic.contract.training import Signal
from gradclinic.history import CHUNK_STEPS, History, LayerFacts, RunFacts
from gradclinic.recorder.chunk_file import ChunkFile
from gradclinic.recorder.kernels import KernelName, choose_kernel, make_kernel
from gradclinic.recorder.outputs import OutputWatch
from gradclinic.recorder.parameters import ParameterWatch, by_optimizer, strangers
from gradclinic.recorder.path import ForwardPath
from gradclinic.recorder.rows import Rows, Values, in_order, refuse_name
from gradclinic.recorder.schedule import Calendar, Due, schedule_of
from gradclinic.recorder.targets import find_targets

Sink = Callable[[History], None]


class Recorder:
    """Records gradient statistics of a training loop, once per optimizer step.

    Use it as a context manager around the loop and call `step(loss)` after each `optimizer.step()`:

        with Recorder(model, optimizer) as recorder:
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                recorder.step(loss)

    Gradients are measured as they stand when the optimizer takes its step. Where the loop clips, call `measure()`
    between `backward()` (and unscaling) and the clipping; then they are measured there, and `facts` says which. Gradients
    of several backward passes add up, as the optimizer sees them. Of several optimizers each measures its own parameters
    at its first step within a step of the recorder; parameters of none belong to the last. An optimizer that was not
    called, since a `GradScaler` skipped it, leaves its gradients to be measured by `step()`, and its weights unchanged.

    Signals, all in float64:
        - of a parameter's gradient `grad_norm` (L2), `grad_max` (largest size of an element), `grad_mean`, `grad_std`
          (of all elements, divided by their number), `grad_zero_fraction`, `grad_nonfinite` (elements that are NaN or
          infinite). Where there are such, the others are what arithmetic makes of them: NaN, or infinite. A gradient that
          is missing counts as zeros.
        - of its weights `weight_norm` of those that the step starts from, and `update_ratio`, |change| / |weights|.
        - of a layer `activation_grad_norm`, `activation_mean`, `activation_std`, `dead_fraction`, `saturated_fraction`:
          see `gradclinic.recorder.outputs`.
        - of the step `loss`, `lr` (of the first optimizer's first group), `grad_norm` of all parameters together, and
          what `step()` and `record()` are given.

    Memory: at most `CHUNK_STEPS` steps of rows, which is 8 bytes * `CHUNK_STEPS` * (8 * parameters + 5 * layers + values of
    a step) and about 200 bytes a row beside that, however many steps there are; twice as much while a chunk is packed. One copy of
    the trained weights where `update_ratio` or `weight_norm` is recorded. The rest lies packed in an unnamed
    temporary file, or went to `sink`. On a GPU the rows of a chunk and the copy lie there.

    Args:
        model: The module that is trained. What `DistributedDataParallel` and `torch.compile` wrap is looked through.
        optimizer: Its optimizer, or several.
        every: Multiplies the schedule of every signal (`gradclinic.recorder.schedule`).
        signals: Steps between two records of single signals; 0 leaves one out.
        layers: The modules to watch, by name; by default those that compute by themselves, and then the first step shows
            in which order they are called and which of them every gradient passes through (`gradclinic.recorder.path`).
        sink: Receives each chunk of `CHUNK_STEPS` steps, and the rest at the end of the `with` block, which then are
            kept nowhere else. What it raises ends the loop.
        kernel: What reads gradients and weights (`gradclinic.recorder.kernels`); by default the fastest that there is.
        defer: Whether numbers stay on their device until a chunk is full or asked for, so that the host never waits; by
            default where any parameter is on another device than the CPU.

    Raises:
        TypeError: Model or optimizer is something else; they may have changed places.
        ValueError: The parameters cannot be read (sharded, lazy, meta), no optimizer was given, there is no such signal,
            or no such kernel here.
        KeyError: The model has no such layer.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        every: int = 1,
        signals: Mapping[Signal, int] | None = None,
        layers: Sequence[LayerFacts] | None = None,
        sink: Sink | None = None,
        kernel: KernelName | None = None,
        defer: bool | None = None,
    ) -> None:
        self._optimizers = _checked(model, optimizer)
        targets = find_targets(model, layers)
        parameters = targets.parameters
        notes = [*targets.notes, *strangers(parameters, self._optimizers)]
        for note in notes:
            warnings.warn(note, stacklevel=2)
        on_cpu = [parameter.is_cpu for parameter in parameters.values()]
        self._defer = not all(on_cpu) if defer is None else defer
        chosen = choose_kernel(kernel, defer=self._defer, on_cpu=any(on_cpu))
        self._names = tuple(parameters)
        self._watches = [
            ParameterWatch(owned, make_kernel(chosen, defer=self._defer))
            for owned in by_optimizer(parameters, self._optimizers)
        ]
        self._subjects = tuple(name for watch in self._watches for name in watch.names)
        elements = sum(parameter.numel() for parameter in parameters.values())
        self._calendar = Calendar(schedule_of(every, signals, elements=elements, tensors=len(parameters)))
        # Layers that are asked for are told with all that is known of them.
        self._path = ForwardPath(targets.layers if layers is None else ())
        self._outputs = OutputWatch(targets.modules, targets.layers, self._defer, kernel=chosen, path=self._path)
        self._sink = sink
        self._chunks = ChunkFile()
        self._rows = Rows()
        self._number_names: set[str] = set()  # that were found to be good ones
        self._handles: list[RemovableHandle] = []
        self._has_stepped = False  # any optimizer, ever
        self.facts = RunFacts(
            layers=list(targets.layers),
            optimizer=", ".join(dict.fromkeys(type(each).__name__ for each in self._optimizers)),
            recorder_kernel=chosen,
            notes=notes,
        )
        self._begin_step(0)

    def __enter__(self) -> Self:
        self._begin_step(self._step)
        try:
            for optimizer, watch in zip(self._optimizers, self._watches, strict=True):
                self._handles.append(optimizer.register_step_pre_hook(self._hook(watch)))
            self._outputs.attach(self._due.layers)
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._detach()
        if self._step and not self._has_stepped:
            words = "No optimizer took a step while it was recorded: nothing was trained. Is optimizer.step() called?"
            self.facts = self.facts.model_copy(update={"notes": [*self.facts.notes, words]})
        if self._sink is not None:
            self._deliver()

    def _detach(self) -> None:
        self._outputs.detach()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin_step(self, step: int) -> None:
        self._step = step
        self._due = self._calendar.at(step)
        self._measured_early = False
        self._lr: float | Tensor | None = None
        for watch in self._watches:
            watch.begin()

    def _hook(self, watch: ParameterWatch) -> Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], Any]:
        """Make the hook that runs before an optimizer's step."""

        def before_update(optimizer: Optimizer, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            self._has_stepped = True
            if self._lr is None and optimizer is self._optimizers[0]:
                self._lr = self._read_lr()
            watch.keep_weights(self._due)
            closure = keywords.get("closure") or next((each for each in arguments[1:] if callable(each)), None)
            if closure is None:
                # A fused optimizer unscales by itself: until then its gradients are scaled.
                watch.measure(self._due, getattr(optimizer, "grad_scale", None))
                return None
            return _with_closure(arguments, keywords, closure, lambda: watch.measure(self._due))

        return before_update

    def measure(self, optimizer: Optimizer | None = None) -> None:
        """Measure the gradients now: after unscaling, before clipping. Once a step; a second call does nothing.

        Args:
            optimizer: Of several, whose gradients are to be measured: those of the others may not be there yet.
        """
        for each, watch in zip(self._optimizers, self._watches, strict=True):
            if optimizer is None or each is optimizer:
                self._measured_early |= not watch.measured
                watch.measure(self._due)

    def step(self, loss: Tensor | float | None, **values: float | Tensor) -> None:
        """Close the row of this optimizer step. Call it after `optimizer.step()`.

        Args:
            loss: The loss of the step, one number; None where the loop does not know it, and then none is recorded.
            values: Further numbers of the step, by name, such as `clipped`.

        Raises:
            RuntimeError: The recorder is not attached: it is used outside its `with` block.
            ValueError: A number cannot be called that.
        """
        if not self._handles:
            raise RuntimeError("Recorder.step was called outside `with Recorder(...)`, where nothing can be measured.")
        for watch in self._watches:
            watch.measure(self._due)
        if self._step and self._step % CHUNK_STEPS == 0:
            self._deliver()
        self._add_rows(self._step, self._due)
        if loss is not None:
            self._rows.add_number("loss", self._step, self._number(loss))
        self._rows.add_number("lr", self._step, self._read_lr() if self._lr is None else self._lr)
        self._add_numbers(self._step, values)
        self._say_where_measured()
        if self._path.is_open and (called := self._path.close()) is not None:
            self.facts = self.facts.model_copy(update={"layers": called})
        watched = self._due.layers
        self._begin_step(self._step + 1)
        if self._due.layers != watched:
            self._outputs.attach(self._due.layers)

    def _add_rows(self, step: int, due: Due) -> None:
        """Add what was measured of parameters and layers."""
        if due.gradients and self._names:
            row = _joined([watch.gradients for watch in self._watches])
            self._rows.add(due.gradients, step, self._subjects, row)
        if due.weights and self._names:
            row = _joined([watch.weights() for watch in self._watches])
            self._rows.add(due.weights, step, self._subjects, row)
        if due.layers:
            for signal, (layers, numbers) in self._outputs.collect().items():
                self._rows.add(((signal, 0),), step, layers, numbers[:, None])

    def record(self, **values: float | Tensor) -> None:
        """Add numbers, such as `val_loss` after an evaluation, to the step that was closed last, or else to the first.

        Raises:
            ValueError: A number cannot be called that.
        """
        self._add_numbers(max(self._step - 1, 0), values)

    def _add_numbers(self, step: int, values: Mapping[str, float | Tensor]) -> None:
        for name, value in values.items():
            if name not in self._number_names:
                refuse_name(name)
                self._number_names.add(name)
            self._rows.add_number(name, step, self._number(value))

    def take(self) -> History:
        """Return the rows since the last call, and forget them: a long run need not fit into memory."""
        part = self.history
        self._rows = Rows()
        self._chunks.clear()
        return part

    @property
    def history(self) -> History:
        """All rows that were neither taken nor handed to the sink. It takes as much memory as it is long."""
        return self._chunks.read(self.facts, self._tables())

    def _tables(self) -> dict[str, Any]:
        tables = self._rows.tables()
        return in_order(tables, self._names) if len(self._watches) > 1 else tables

    def _deliver(self) -> None:
        """Hand a finished chunk on: to the sink, or to the file."""
        tables, self._rows = self._tables(), Rows()
        if not tables:
            return
        if self._sink is not None:
            self._sink(History(tables, self.facts))
        else:
            self._chunks.add(tables)

    def _read_lr(self) -> float | Tensor:
        return self._number(self._optimizers[0].param_groups[0]["lr"])

    def _number(self, value: float | Tensor) -> float | Tensor:
        """Take a number at once, or, where that would make the host wait, a copy that nobody overwrites."""
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"A number of the step has the shape {tuple(value.shape)}; expected one number, such as a mean."
            )
        if isinstance(value, Tensor) and self._defer:
            return value.detach().to(torch.float64, copy=True).reshape(())
        return float(value.detach() if isinstance(value, Tensor) else value)

    def _say_where_measured(self) -> None:
        """Note in the facts whether every step was measured where the loop said, before it clips."""
        early = "before_clipping" if self._measured_early else "at_optimizer_step"
        if self.facts.gradients_measured not in (early, "at_optimizer_step"):
            self.facts = self.facts.model_copy(update={"gradients_measured": early})


def _checked(model: object, optimizer: Optimizer | Sequence[Optimizer]) -> list[Optimizer]:
    """Return the optimizers as a list, after making sure that everything is in its place."""
    optimizers = list(optimizer) if isinstance(optimizer, Sequence) else [optimizer]
    if not optimizers:
        raise ValueError("No optimizer was given. Recorder(model, optimizer) measures when the optimizer steps.")
    for given, kind in ((model, nn.Module), *((each, Optimizer) for each in optimizers)):
        if not isinstance(given, kind):
            raise TypeError(f"Recorder(model, optimizer) got a {type(given).__name__} where a {kind.__name__} belongs.")
    return optimizers


def _joined(pieces: Sequence[Values | None]) -> Values:
    """Put the rows of several optimizers below each other, without waiting for a device."""
    there = [piece for piece in pieces if piece is not None and len(piece)]
    if len(there) == 1:
        return there[0]
    tensors = [piece for piece in there if isinstance(piece, Tensor)]
    if not tensors:
        return np.concatenate(there)
    device = next((piece.device for piece in tensors if not piece.is_cpu), tensors[0].device)
    return torch.cat([torch.as_tensor(piece).to(device, non_blocking=True) for piece in there])


def _with_closure(
    arguments: tuple[Any, ...], keywords: dict[str, Any], closure: Callable[[], Any], measure: Callable[[], None]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Measure after the first call of the closure in which an optimizer such as LBFGS computes its gradients."""

    @wraps(closure)
    def measured() -> Any:
        loss = closure()
        measure()
        return loss

    if "closure" in keywords:
        return arguments, {**keywords, "closure": measured}
    return tuple(measured if each is closure else each for each in arguments), keywords
