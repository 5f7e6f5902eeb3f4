"""The recorder: hooks that read gradients while a loop trains, and the rows they become.

It reads and never writes: the same seed with and without it gives the same weights, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradclinic.contract.training import Signal
from gradclinic.history.codec import as_recorded
from gradclinic.history.facts import LayerFacts, RunFacts
from gradclinic.history.history import WHOLE_STEP, History, SignalTable
from gradclinic.recorder.norms import joined_norm, l2_norm, l2_norms, nonfinite_count
from gradclinic.recorder.schedule import is_due, schedule_of

FloatArray = npt.NDArray[np.float64]


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
    between `backward()` (and unscaling) and the clipping; then they are measured there. Output gradients add up over
    several backward passes in one step, as parameter gradients do.

    Signals: of a parameter `grad_norm`, `grad_nonfinite`, `weight_norm` and `update_ratio` (both of the weights that
    the step starts from; the ratio is |change| / |weights|), of a layer `activation_grad_norm` (gradient of the loss
    with respect to the layer's output, over the whole batch); of the step `loss`, `lr` and `grad_norm`. All norms are
    L2 in float64.

    Args:
        model: The module that is trained.
        optimizer: Its optimizer; the learning rate recorded is that of its first group.
        every: Multiplies the schedule of every signal (`gradclinic.recorder.schedule`).
        signals: Steps between two records of single signals; 0 leaves one out.
        layers: The modules to watch, by name; by default all that have no children.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int = 1,
        signals: Mapping[Signal, int] | None = None,
        layers: Sequence[LayerFacts] | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._every = schedule_of(every, signals)
        self._layers = list(layers) if layers is not None else leaf_layers(model)
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.facts = RunFacts(layers=self._layers, optimizer=type(optimizer).__name__)
        self._handles: list[RemovableHandle] = []
        self._rows = _Rows()
        self._begin_step(0)

    def __enter__(self) -> Self:
        modules = dict(self._model.named_modules())
        try:
            for layer in self._layers:
                self._handles.append(modules[layer.name].register_forward_hook(self._watch_output(layer.name)))
            self._handles.append(self._optimizer.register_step_pre_hook(self._before_update))
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin_step(self, step: int) -> None:
        self._step = step
        self._measured = False
        self._lr = float("nan")
        self._weights_before: list[Tensor] = []
        self._output_norms: dict[str, list[Tensor]] = {}

    def _due(self, signal: Signal) -> bool:
        return is_due(self._step, self._every[signal])

    def _watch_output(self, layer: str) -> Callable[[nn.Module, Any, Any], None]:
        """Make the forward hook that puts a gradient hook on the layer's output.

        A hook on the tensor and not on the module: a full backward hook breaks where the next layer works in place.
        """

        def keep(gradient: Tensor) -> None:
            self._output_norms.setdefault(layer, []).append(l2_norm(gradient))

        def watch(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(tensor, Tensor) and tensor.requires_grad and self._due("activation_grad_norm"):
                tensor.register_hook(keep)  # type: ignore[no-untyped-call]  # PyTorch types it not

        return watch

    def measure(self) -> None:
        """Measure the gradients now: after unscaling, before clipping. Once a step; a second call does nothing."""
        if self._measured:
            return
        self._measured = True
        if not (self._due("grad_norm") or self._due("grad_nonfinite")):
            return
        norms = self._gradient_norms()
        if self._due("grad_norm"):
            row = np.concatenate([[joined_norm(norms)], norms])
            self._rows.add("grad_norm", self._step, (WHOLE_STEP, *self._parameters), row)
        if self._due("grad_nonfinite"):
            self._rows.add("grad_nonfinite", self._step, tuple(self._parameters), self._nonfinite_counts(norms))

    def _gradient_norms(self) -> FloatArray:
        """Return the norm of each parameter's gradient (parameters,); 0 where there is none."""
        norms = np.zeros(len(self._parameters))
        present = [(place, p.grad) for place, p in enumerate(self._parameters.values()) if p.grad is not None]
        norms[[place for place, _ in present]] = l2_norms([gradient for _, gradient in present]).numpy(force=True)
        return norms

    def _nonfinite_counts(self, norms: FloatArray) -> FloatArray:
        """Count the elements of each gradient that are not finite (parameters,)."""
        counts = np.zeros(len(norms))
        # Only where the norm says that there are any: counting reads the whole gradient once more.
        for place, parameter in enumerate(self._parameters.values()):
            if not np.isfinite(norms[place]) and parameter.grad is not None:
                counts[place] = nonfinite_count(parameter.grad)
        return counts

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        self.measure()
        self._lr = float(optimizer.param_groups[0]["lr"])
        if self._due("update_ratio") or self._due("weight_norm"):
            self._weights_before = [p.detach().clone() for p in self._parameters.values()]

    @torch.no_grad()
    def step(self, loss: Tensor | float, **values: float) -> None:
        """Close the row of this optimizer step. Call it after `optimizer.step()`.

        Args:
            loss: The loss of the step.
            values: Further numbers of the step, by name.

        Raises:
            RuntimeError: The recorder is not attached: it is used outside its `with` block.
        """
        if not self._handles:
            raise RuntimeError("Recorder.step was called outside `with Recorder(...)`, where nothing can be measured.")
        self.measure()
        names = tuple(self._parameters)
        if self._weights_before:
            before = l2_norms(self._weights_before)
            if self._due("weight_norm"):
                self._rows.add("weight_norm", self._step, names, before.numpy(force=True))
            if self._due("update_ratio"):
                change = torch._foreach_sub(list(self._parameters.values()), self._weights_before)  # noqa: SLF001 - as in norms.py
                # A bias that starts at zero moves infinitely far by this measure; readers skip what is not finite.
                ratio = l2_norms(change) / before
                ratio = torch.where((before == 0) & torch.isnan(ratio), torch.zeros_like(ratio), ratio)
                self._rows.add("update_ratio", self._step, names, ratio.numpy(force=True))
        if self._due("activation_grad_norm"):
            layers = tuple(layer.name for layer in self._layers)
            self._rows.add("activation_grad_norm", self._step, layers, self._output_gradient_norms(layers))
        number = float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
        self._rows.add_numbers(self._step, {"loss": number, "lr": self._lr, **values})
        self._begin_step(self._step + 1)

    def _output_gradient_norms(self, layers: tuple[str, ...]) -> FloatArray:
        """Return the norm (layers,) of each output's gradient; 0 where none came back."""
        kept = [(place, norm) for place, name in enumerate(layers) for norm in self._output_norms.get(name, ())]
        result = np.zeros(len(layers))
        if kept:
            device = kept[0][1].device
            norms = torch.stack([norm.to(device) for _, norm in kept]).numpy(force=True)
            for (place, _), norm in zip(kept, norms, strict=True):
                # A module that is called twice in a step has two outputs: one vector of both.
                result[place] = np.hypot(result[place], norm)
        return result

    def record(self, **values: float) -> None:
        """Add numbers, such as `val_loss` after an evaluation, to the step that was closed last."""
        self._rows.add_numbers(self._step - 1, values)

    def take(self) -> History:
        """Return the rows since the last call, and forget them: a long run need not fit into memory."""
        part = self.history
        self._rows = _Rows()
        return part

    @property
    def history(self) -> History:
        """All rows that have not been taken."""
        return History(self._rows.tables(), self.facts)


class _Rows:
    """The rows of each signal, as they come."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[tuple[str, ...], list[int], list[FloatArray]]] = {}

    def add(self, signal: str, step: int, subjects: tuple[str, ...], values: FloatArray) -> None:
        _, steps, rows = self._of.setdefault(signal, (subjects, [], []))
        steps.append(step)
        rows.append(values)

    def add_numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.add(name, step, (WHOLE_STEP,), np.array([float(value)]))

    def tables(self) -> dict[str, SignalTable]:
        return {
            signal: SignalTable(np.array(steps, np.int64), subjects, as_recorded(np.stack(rows)))
            for signal, (subjects, steps, rows) in self._of.items()
        }


def leaf_layers(model: nn.Module) -> list[LayerFacts]:
    """List the modules that have no children, in the order in which they were registered."""
    return [
        LayerFacts(
            name=name,
            type=type(module).__name__,
            parameters=[f"{name}.{own}" if name else own for own, _ in module.named_parameters(recurse=False)],
            weight_shape=list(module.weight.shape) if isinstance(getattr(module, "weight", None), Tensor) else None,
        )
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
