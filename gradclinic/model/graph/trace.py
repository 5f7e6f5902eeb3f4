"""From what `torch.export` gives to the JSON graph: nodes, layers, and what differs between training and evaluation."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind

from gradclinic.graph import ALLOWED, IN_PLACE
from gradclinic.graph.arguments import LARGEST_INTEGER
from gradclinic.model.graph.program import DTYPES

MODE_ARGUMENTS: Mapping[str, str] = {
    "batch_norm": "training", "instance_norm": "use_input_stats", "dropout": "train", "dropout_": "train",
    "alpha_dropout": "train", "alpha_dropout_": "train", "feature_dropout": "train", "feature_dropout_": "train",
    "feature_alpha_dropout": "train", "feature_alpha_dropout_": "train", "lstm": "train", "gru": "train",
    "rnn_tanh": "train", "rnn_relu": "train", "rrelu": "training", "rrelu_": "training",
    "scaled_dot_product_attention": "dropout_p",
}  # fmt: skip
"""Operators that do one thing while training and another in evaluation, and the argument that says which."""

MODULES = {
    "relu": "ReLU", "relu6": "ReLU6", "sigmoid": "Sigmoid", "tanh": "Tanh", "gelu": "GELU", "silu": "SiLU", "mish": "Mish",
    "elu": "ELU", "celu": "CELU", "selu": "SELU", "leaky_relu": "LeakyReLU", "hardtanh": "Hardtanh", "glu": "GLU",
    "hardsigmoid": "Hardsigmoid", "hardswish": "Hardswish", "hardshrink": "Hardshrink", "softshrink": "Softshrink",
    "softplus": "Softplus", "log_sigmoid": "LogSigmoid", "prelu": "PReLU", "rrelu": "RReLU", "threshold": "Threshold",
    "exp": "Exp", "softmax": "Softmax", "log_softmax": "LogSoftmax", "linear": "Linear", "bilinear": "Bilinear",
    "embedding": "Embedding", "conv1d": "Conv1d", "conv2d": "Conv2d", "conv3d": "Conv3d",
    "conv_transpose1d": "ConvTranspose1d", "conv_transpose2d": "ConvTranspose2d", "batch_norm": "BatchNorm",
    "instance_norm": "InstanceNorm", "layer_norm": "LayerNorm", "group_norm": "GroupNorm", "rms_norm": "RMSNorm",
    "dropout": "Dropout", "lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN",
    "scaled_dot_product_attention": "Attention", "max_pool1d": "MaxPool1d", "max_pool2d": "MaxPool2d",
    "avg_pool1d": "AvgPool1d", "avg_pool2d": "AvgPool2d", "adaptive_avg_pool1d": "AdaptiveAvgPool1d",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d", "cat": "Concat", "add": "Add", "mul": "Multiply",
}  # fmt: skip
"""What a function is called that a model calls between its modules: the module of `torch.nn` where there is one."""

_RENAMED = {"_sym_sqrt": "math.sqrt", "sym_sqrt": "math.sqrt"}
_DROPPED = frozenset({"device", "layout", "pin_memory", "non_blocking", "copy"})
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Call:
    """One call of a module: its dotted `path`, its class, and what tells it from other calls of the same module."""

    path: str
    type: str
    key: str


@dataclass
class Traced:
    """What came of one model: the JSON graph's parts, the constants that it holds, and what cannot be exported."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, str]] = field(default_factory=list)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    input: str = ""
    output: str = ""


def trace(model: nn.Module, training: torch.export.ExportedProgram, evaluation: torch.export.ExportedProgram) -> Traced:
    """Make the parts of a graph from a model that was exported while training, and once more in evaluation."""
    return _Tracer(model, training, evaluation).trace()


class _Tracer:
    """Goes through the nodes of the exported program once."""

    def __init__(
        self, model: nn.Module, training: torch.export.ExportedProgram, evaluation: torch.export.ExportedProgram
    ) -> None:
        self.model = model
        self.program = training
        self.traced = Traced()
        self.tensors: dict[str, str] = {}
        for spec in training.graph_signature.input_specs:
            self._input(spec)
        self.kept = _needed(training.graph, self.tensors)
        self.calls = {node: _call_of(node) for node in self.kept}
        self.holders = _holders(call.path for call in self.calls.values() if call is not None)
        self.modes = _modes(self.kept, _calling(evaluation.graph))

    def trace(self) -> Traced:
        layers = self._layers()
        for node in self.kept:
            self._node(node, layers.get(node))
        (output,) = (node for node in self.program.graph.nodes if node.op == "output")
        results = output.args[0]
        if len(results) != 1 or not isinstance(results[0], fx.Node) or results[0] not in self.calls:
            self.traced.refused.append(
                f"the output is {len(results)} values, where one tensor that it works out is expected"
            )
        else:
            self.traced.output = results[0].name
        return self.traced

    def _input(self, spec: Any) -> None:
        name, target = spec.arg.name, spec.target
        match spec.kind:
            case InputKind.PARAMETER:
                self.tensors[name] = target
            case InputKind.BUFFER:
                self.tensors[name] = target
                if not target.endswith(_COUNTER):
                    self.traced.buffers.append(target)
            case InputKind.CONSTANT_TENSOR:
                self.tensors[name] = target
                self.traced.constants[target] = self.program.constants[target]
            case InputKind.USER_INPUT if not self.traced.input:
                self.traced.input = name
            case _:
                self.traced.refused.append(f"the input {name!r} is a {spec.kind.name.lower()} of its own")

    def _layers(self) -> dict[fx.Node, int]:
        """Name the layers, and say which of them each node belongs to."""
        taken = {name for name, _ in self.model.named_modules()} | set(self.tensors.values())
        places: dict[str, int] = {}
        members: dict[fx.Node, int] = {}
        for node, call in self.calls.items():
            if call is None:
                continue
            name, type_ = call.path, call.type
            if call.path in self.holders:
                function = _function_type(node, self.tensors)
                if function is None:
                    continue
                name, type_ = _free_name(call.path, _operator(node).split(".")[1].rstrip("_"), taken), function
            if name not in places:
                places[name] = len(places)
                self.traced.layers.append({"name": name, "type": type_})
            members[node] = places[name]
        return members

    def _node(self, node: fx.Node, layer: int | None) -> None:
        op = _operator(node)
        call = self.calls[node]
        where = f" in {call.path or 'the model itself'} ({call.type})" if call is not None else ""
        if op not in ALLOWED:
            self.traced.refused.append(f"{op}{where}")
            return
        try:
            args = [self._value(value) for value in node.args]
            kwargs = {key: self._value(value) for key, value in node.kwargs.items() if key not in _DROPPED}
        except TypeError as error:
            self.traced.refused.append(f"{op}{where}: {error}")
            return
        if node in self.modes:
            _set_mode(node, args, kwargs, self.modes[node])
        told: dict[str, Any] = {"name": node.name, "op": op, "args": args}
        told |= {"kwargs": kwargs} if kwargs else {}
        if layer is not None:
            told |= {"layer": layer} | ({"watched": True} if self._leaves(node) else {})
        self.traced.nodes.append(told)

    def _leaves(self, node: fx.Node) -> bool:
        """Say whether a node's value is used outside of the call that made it; a function's always is."""
        call = self.calls[node]
        is_function = call is not None and call.path in self.holders
        return is_function or any(
            user.op == "output" or (user in self.calls and self.calls[user] != call) for user in node.users
        )

    def _value(self, value: Any) -> Any:
        """Write an argument as the JSON has it."""
        match value:
            case fx.Node():
                return {"tensor": self.tensors[value.name]} if value.name in self.tensors else {"node": value.name}
            case None | bool() | str():
                return value
            case int():
                if abs(value) >= sys.maxsize:
                    return LARGEST_INTEGER if value > 0 else -LARGEST_INTEGER
                return value
            case float():
                return value if math.isfinite(value) else {"float": str(value)}
            case list() | tuple():
                return [self._value(part) for part in value]
            case torch.dtype():
                if value not in DTYPES.values():
                    raise TypeError(f"{value}, where float32, int64 or bool is expected")
                return {"dtype": str(value).removeprefix("torch.")}
            case torch.memory_format() if value in (torch.contiguous_format, torch.preserve_format):
                return {"memory_format": str(value).removeprefix("torch.")}
        raise TypeError(f"the argument {str(value)[:60]}")


def _holders(paths: Iterable[str]) -> frozenset[str]:
    """Return the modules that call others, the model itself among them: what they compute themselves are functions."""
    parts = [path.split(".") for path in set(paths)]
    return frozenset({""} | {".".join(names[:length]) for names in parts for length in range(1, len(names))})


def _calling(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op == "call_function"]


def _needed(graph: fx.Graph, tensors: Mapping[str, str]) -> list[fx.Node]:
    """Return the nodes that the output needs, and those that overwrite or draw; not the counters of batches."""
    kept: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output":
            kept.update(node.all_input_nodes)
        if node.op != "call_function" or any(tensors.get(n.name, "").endswith(_COUNTER) for n in node.all_input_nodes):
            continue
        name = getattr(node.target, "_opname", "")
        if node in kept or _operator(node) in IN_PLACE or "dropout" in name or "rrelu" in name:
            kept.add(node)
            kept.update(node.all_input_nodes)
    return [node for node in _calling(graph) if node in kept]


def _operator(node: fx.Node) -> str:
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):  # noqa: SLF001 - it has no public name
        return str(target)
    name = getattr(target, "__name__", str(target))
    return _RENAMED.get(name, f"operator.{name}")


def _call_of(node: fx.Node) -> Call | None:
    """Return the innermost call of a module that a node comes of; None where PyTorch does not say."""
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    entries = [(key, path, kind) for key, (path, kind) in stack.items() if not key.startswith("_empty")]
    if not entries:
        return None
    key, path, kind = entries[-1]
    name = kind if isinstance(kind, str) else kind.__name__
    return Call(path.partition("@")[0], name.rpartition(".")[2], key)


def _modes(training: list[fx.Node], evaluation: list[fx.Node]) -> dict[fx.Node, tuple[Any, Any]]:
    """Return the nodes that depend on the mode, with the argument that says so: while training, and in evaluation.

    A module's functions are told apart by their order in it. Where one is missing in evaluation it is a dropout, which
    then does nothing; whether all that is true shows when the two are compared on real numbers.
    """
    of_evaluation: dict[tuple[Call | None, str], list[fx.Node]] = {}
    for node in evaluation:
        of_evaluation.setdefault((_call_of(node), _operator(node)), []).append(node)
    seen: Counter[tuple[Call | None, str]] = Counter()
    modes: dict[fx.Node, tuple[Any, Any]] = {}
    for node in training:
        argument = MODE_ARGUMENTS.get(getattr(node.target, "_opname", ""))
        if argument is None:
            continue
        key = (_call_of(node), _operator(node))
        others = of_evaluation.get(key, [])
        own = _argument(node, argument)
        other = _argument(others[seen[key]], argument) if seen[key] < len(others) else type(own)(0)
        seen[key] += 1
        if own != other:
            modes[node] = (own, other)
    return modes


def _argument(node: fx.Node, name: str) -> Any:
    """Return an argument by its name, or the default of the operator's schema."""
    if name in node.kwargs:
        return node.kwargs[name]
    place, default = _place(node, name)
    return node.args[place] if place < len(node.args) else default


def _place(node: fx.Node, name: str) -> tuple[int, Any]:
    schema: Any = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001 - it has no public name
    return next((place, one.default_value) for place, one in enumerate(schema.arguments) if one.name == name)


def _set_mode(node: fx.Node, args: list[Any], kwargs: dict[str, Any], mode: tuple[Any, Any]) -> None:
    name = MODE_ARGUMENTS[node.target._opname]  # type: ignore[union-attr]  # noqa: SLF001 - likewise
    value = {"training": mode[0], "evaluation": mode[1]}
    place, _ = _place(node, name)
    if name in kwargs or place >= len(args):
        kwargs[name] = value
    else:
        args[place] = value


def _function_type(node: fx.Node, tensors: Mapping[str, str]) -> str | None:
    """Return what a function between modules is called; None for what is not worth watching."""
    name = getattr(node.target, "_opname", "").rstrip("_")
    if name in ("add", "mul", "cat"):  # of values, not of a value and a number or a parameter
        values = {value for value in node.all_input_nodes if value.name not in tensors and _is_float(value)}
        return MODULES[name] if len(values) > 1 else None
    return MODULES.get(name) if _is_float(node) else None


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) and value else value
    return isinstance(first, torch.Tensor) and first.is_floating_point()


def _free_name(path: str, name: str, taken: set[str]) -> str:
    """Return a name in `path` that no module, parameter or function has yet, and take it."""
    first = f"{path}.{name}" if path else name
    for free in _numbered(first):
        if free not in taken:
            taken.add(free)
            return free
    raise AssertionError


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1
