"""Signals of layer outputs, by hooks: the elements, units that are dead, outputs that are saturated, and the gradient.

Everything is measured where it stands and added up, so that no output is kept alive, and none is looked at after the
next layer has overwritten it (`inplace=True`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gradclinic.contract.training import LayerSignal
from gradclinic.history.facts import LayerFacts
from gradclinic.recorder.kernels import KernelName, choose_kernel
from gradclinic.recorder.output_norms import DeferredNorms, HostNorms
from gradclinic.recorder.path import ForwardPath
from gradclinic.recorder.tallies import DeferredTally, HostTally, Row, Tally
from gradclinic.recorder.units import UnitDimensions
from gradclinic.recorder.watched_layer import WatchedLayer


class OutputWatch:
    r"""Watches the outputs of layers over one optimizer step after the other.

    Of all elements :math:`y` that a layer gave in a step, over all calls of its module, in float64 (right from 1e-150 to
    1e150): `activation_mean`, `activation_std` (divided by their number), and `activation_grad_norm`
    :math:`\|\partial L / \partial y\|_2`, the elements of several calls and several backward passes being one vector. Of
    activations with an off side, `dead_fraction`: the share of units that were off on every one of at least
    `DEAD_SAMPLES` samples, the last that were looked at; there is no row before any layer has had so many. Of bounded ones,
    `saturated_fraction`: the share of elements at their bounds. `activations.py` says where an activation is off and where
    saturated, `units.py` what a unit is.

    A layer without an output in the step has NaN, except for the gradient, which is 0 where none came back. Outputs of
    a forward pass in evaluation mode or without gradients do not count; nor do outputs that are no floating-point tensors.
    Of a tuple, such as an LSTM's, the first item is the output.

    It keeps about a kilobyte a layer and 9 bytes a unit, whatever the number of steps.

    Args:
        modules: The model's modules by name (`named_modules`); the model itself under the empty name, if it is there,
            tells whether it is in training mode.
        layers: Those to watch.
        defer: Whether rows stay tensors on the device. Then nothing waits for the device.
        kernel: What reads the outputs; by default the fastest there is.
        path: Where calls are noted as long as it is open.

    Raises:
        KeyError: A layer is not among the modules.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        layers: Sequence[LayerFacts],
        defer: bool,
        *,
        kernel: KernelName | None = None,
        path: ForwardPath | None = None,
    ) -> None:
        dimensions = UnitDimensions()
        self._layers = [
            WatchedLayer(at, facts.name, modules[facts.name], dimensions) for at, facts in enumerate(layers)
        ]
        self._root = modules.get("")
        self._path = path
        passes = None
        if choose_kernel(kernel, defer=defer, on_cpu=True) == "compiled":
            # numba takes a while to import, which only those pay who record by it.
            from gradclinic.recorder.kernels.outputs_compiled import output_passes  # noqa: PLC0415 - see above

            passes = output_passes()
        device = _device_of(self._layers)
        self._tally: Tally = DeferredTally(self._layers, device) if defer else HostTally(self._layers, passes)
        self._norms = DeferredNorms(len(layers), device) if defer else HostNorms(len(layers), passes)
        self._with_off_side = [layer.place for layer in self._layers if layer.flat.off is not None]
        self._bounded = [layer.place for layer in self._layers if layer.flat.bounds is not None]
        self._names = tuple(layer.name for layer in self._layers)
        self._names_with_off_side = tuple(self._names[place] for place in self._with_off_side)
        self._names_bounded = tuple(self._names[place] for place in self._bounded)
        self._due: frozenset[LayerSignal] = frozenset()
        self._observes = self._marks = False
        self._hooks = [hook for layer in self._layers for hook in self._hooks_of(layer)]
        if path is not None and self._root is not None and self._layers:
            self._hooks.append(_Hook(self._root.register_forward_pre_hook, lambda *_: path.begin()))
        self._attached = False
        self._on_tensors: list[RemovableHandle] = []

    def attach(self, due: frozenset[LayerSignal]) -> None:
        """Watch the coming step for the signals that are due. Hooks stay where they are if they will do."""
        self._forget()
        if not due:
            self.detach()
            return
        self._due = due
        self._norms.is_open = "activation_grad_norm" in due
        self._observes = due != {"activation_grad_norm"}
        self._marks = "dead_fraction" in due and bool(self._with_off_side)
        if not self._attached:
            self._attached = True
            for hook in self._hooks:
                hook.put_in()

    def detach(self) -> None:
        """Remove all hooks. Those on tensors of a graph that lives on do nothing from now on."""
        self._norms.is_open = self._observes = self._marks = False
        self._forget()
        if self._path is not None:
            self._path.begin()
        self._due = frozenset()
        for hook in self._hooks:
            hook.take_out()
        self._attached = False

    def collect(self) -> dict[LayerSignal, tuple[tuple[str, ...], Row]]:
        """Return the names and the row (names,) of each signal that was due in the step that ends now, and forget them."""
        tally = self._tally
        rows: dict[LayerSignal, tuple[tuple[str, ...], Row]] = {}

        def add(signal: LayerSignal, names: tuple[str, ...], measure: Callable[[], Row | None]) -> None:
            if signal in self._due and names and (row := measure()) is not None:
                rows[signal] = names, row

        add("activation_mean", self._names, tally.means)
        add("activation_std", self._names, tally.deviations)
        add("dead_fraction", self._names_with_off_side, lambda: tally.dead(self._with_off_side))
        add("saturated_fraction", self._names_bounded, lambda: tally.saturated(self._bounded))
        add("activation_grad_norm", self._names, self._norms.row)
        self._forget()
        return rows

    def _forget(self) -> None:
        self._tally.forget()
        self._norms.forget()
        for handle in self._on_tensors:
            handle.remove()
        self._on_tensors.clear()

    def _hooks_of(self, layer: WatchedLayer) -> Iterator[_Hook]:
        if layer.flat.of_input:
            yield _Hook(layer.module.register_forward_pre_hook, self._input_hook(layer))
        yield _Hook(layer.module.register_forward_hook, self._output_hook(layer))

    def _output_hook(self, layer: WatchedLayer) -> Callable[[nn.Module, Any, Any], None]:
        observe, norms, counts, path = self._tally.observe, self._norms, self._counts, self._path
        tensor_hook = norms.hook(layer.place)
        node_hook = _on_node(tensor_hook)

        def watch(module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output if type(output) is Tensor else _first_tensor(output)
            if tensor is None:
                return
            if path is not None and path.is_open and torch.is_grad_enabled():
                path.note(layer.place, tensor.grad_fn)
            if tensor.requires_grad and norms.is_open:
                # A hook on the node that made the tensor and not on the module: a full backward hook breaks where the
                # next layer works in place. One on the tensor does the same as this, and takes 1 us more.
                if (node := tensor.grad_fn) is not None and tensor.output_nr == 0:
                    node.register_prehook(node_hook)
                else:
                    # A parameter, say, which is there in the next step, too.
                    self._on_tensors.append(tensor.register_hook(tensor_hook))  # type: ignore[no-untyped-call]  # PyTorch's
            if self._observes and counts(module) and _holds_numbers(tensor):
                observe(layer, tensor, self._marks)

        return watch

    def _input_hook(self, layer: WatchedLayer) -> Callable[[nn.Module, Any], None]:
        def watch(module: nn.Module, inputs: Any) -> None:
            tensor = _first_tensor(inputs)
            if self._marks and tensor is not None and self._counts(module) and _holds_numbers(tensor):
                self._tally.mark(layer, tensor)

        return watch

    def _counts(self, module: nn.Module) -> bool:
        """Say whether what a module gives now is a part of training."""
        # Of a model in training some modules may be in evaluation mode, as frozen batch normalisations are.
        return torch.is_grad_enabled() and (module.training or (self._root is not None and self._root.training))


class _Hook:
    """A hook on a module that is put in and taken out again every few steps.

    Registering it anew takes ten times as long as putting it back into the place that its handle remembers. A copy of the
    model, made by `copy.deepcopy` or `torch.save`, has a hook in its place that does nothing.
    """

    __slots__ = ("_call", "_handle", "_register")

    def __init__(self, register: Callable[[Any], RemovableHandle], call: Callable[..., None]) -> None:
        self._register = register
        self._call = call
        self._handle: RemovableHandle | None = None

    def __call__(self, *arguments: Any) -> None:
        self._call(*arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _Hook, (_register_nowhere, _do_nothing)

    def put_in(self) -> None:
        handle = self._handle
        if handle is not None and (places := handle.hooks_dict_ref()) is not None:
            places[handle.id] = self
        else:
            self._handle = self._register(self)

    def take_out(self) -> None:
        handle = self._handle
        if handle is not None and (places := handle.hooks_dict_ref()) is not None:
            places.pop(handle.id, None)


def _register_nowhere(_hook: Any) -> RemovableHandle:
    return RemovableHandle(OrderedDict())


def _do_nothing(*_: Any) -> None:
    pass


def _on_node(add: Callable[[Tensor], None]) -> Callable[[tuple[Tensor | None, ...]], None]:
    """Make the hook on the node that gave a tensor first out of the one on that tensor."""

    def hook(gradients: tuple[Tensor | None, ...]) -> None:
        if (gradient := gradients[0]) is not None:
            add(gradient)

    return hook


def _first_tensor(value: Any) -> Tensor | None:
    """Return a tensor, or the first item of a tuple if that is one."""
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def _holds_numbers(tensor: Tensor) -> bool:
    """Say whether a tensor has an element of a floating-point type at every place."""
    return tensor.dtype.is_floating_point and tensor.layout is torch.strided and not tensor.is_nested


def _device_of(layers: Sequence[WatchedLayer]) -> torch.device:
    """Return where the first parameter is."""
    parameters = (parameter for layer in layers for parameter in layer.module.parameters())
    first = next(parameters, None)
    return first.device if first is not None else torch.device("cpu")
