"""A graph as a program: its nodes one after the other, each an operator of PyTorch's on what was there before.

It is interpreted: no code is made of what came from outside, and the operators are those of the list on paper.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from gradclinic.graph import ALLOWED, GraphDocument, GraphNode

DTYPES = MappingProxyType({"float32": torch.float32, "int64": torch.int64, "bool": torch.bool})

FORMATS = MappingProxyType({"contiguous_format": torch.contiguous_format, "preserve_format": torch.preserve_format})

MAKING = frozenset(
    f"aten.{name}"
    for name in (
        "arange.default", "arange.start", "arange.start_step", "zeros.default", "ones.default", "full.default",
        "scalar_tensor.default", "eye.default", "eye.m", "linspace.default",
    )
)  # fmt: skip
"""Operators that make a tensor out of numbers, and so have to be told where."""

_NUMBERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "operator.add": operator.add,
        "operator.sub": operator.sub,
        "operator.mul": operator.mul,
        "operator.floordiv": operator.floordiv,
        "operator.truediv": operator.truediv,
        "operator.mod": operator.mod,
        "operator.neg": operator.neg,
        "operator.getitem": operator.getitem,
        "math.sqrt": math.sqrt,
    }
)

Function = Callable[..., Any]


@dataclass(frozen=True)
class _Value:
    """What stands at an index among the values."""

    index: int


@dataclass(frozen=True)
class _Modes:
    """One value while training, another in evaluation."""

    training: Any
    evaluation: Any


@dataclass(frozen=True)
class _Device:
    """Where the input is."""


@dataclass(frozen=True)
class Instruction:
    """One node: the function, its arguments, where its value goes, and which values nobody asks for after it."""

    node: GraphNode
    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    target: int
    last_uses: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The nodes as instructions over a row of values: the tensors by `names`, the input, then each node's."""

    names: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    output: int

    def run(self, tensors: Sequence[Tensor], x: Tensor, *, training: bool) -> Any:
        """Run the program on a batch x (N, ...)."""
        values: list[Any] = [*tensors, x, *[None] * len(self.instructions)]
        for instruction in self.instructions:
            args = [_filled(part, values, x.device, training) for part in instruction.args]
            kwargs = {key: _filled(part, values, x.device, training) for key, part in instruction.kwargs.items()}
            values[instruction.target] = instruction.function(*args, **kwargs)
            del args, kwargs
            for index in instruction.last_uses:  # else every activation would live to the end, in evaluation too
                values[index] = None
        return values[self.output]


def function_of(op: str) -> Function:
    """Return the function of an operator of `gradclinic.graph.ALLOWED`."""
    if op in _NUMBERS:
        return _NUMBERS[op]
    if op not in ALLOWED:
        raise AssertionError(f"{op} was not checked.")
    _, name, overload = op.split(".")
    function: Function = getattr(getattr(torch.ops.aten, name), overload)
    return function


def compile_graph(
    document: GraphDocument, wrap: Callable[[GraphNode, Function], Function] = lambda _, function: function
) -> Program:
    """Make the program of a graph that was checked. `wrap` can put something around each node's function."""
    names = tuple(name for name, tensor in document.tensors.items() if tensor.same is None)
    places = {name: index for index, name in enumerate(names)}
    tensors = {name: places[told.same or name] for name, told in document.tensors.items()}
    nodes = {document.input.name: len(names)}
    rows: list[tuple[GraphNode, tuple[Any, ...], dict[str, Any]]] = []
    last: dict[int, int] = {}
    for row, node in enumerate(document.nodes):
        used: set[int] = set()
        args = tuple(_template(value, nodes, tensors, used) for value in node.args)
        kwargs = {key: _template(value, nodes, tensors, used) for key, value in node.kwargs.items()}
        if node.op in MAKING:
            kwargs["device"] = _Device()
        rows.append((node, args, kwargs))
        nodes[node.name] = len(names) + 1 + row
        last.update(dict.fromkeys(used, row))
        last.setdefault(nodes[node.name], row)  # a value that nobody asks for
    output = nodes[document.output]
    del last[output]
    ends: dict[int, list[int]] = {}
    for index, row in last.items():
        if index > len(names):
            ends.setdefault(row, []).append(index)
    instructions = tuple(
        Instruction(
            node, wrap(node, function_of(node.op)), args, kwargs, len(names) + 1 + row, tuple(ends.get(row, ()))
        )
        for row, (node, args, kwargs) in enumerate(rows)
    )
    return Program(names, instructions, output)


def _template(value: Any, nodes: Mapping[str, int], tensors: Mapping[str, int], used: set[int]) -> Any:
    """Turn an argument of the JSON into what `_filled` fills in; note the indices of the nodes' values in `used`."""
    match value:
        case list():
            return [_template(part, nodes, tensors, used) for part in value]
        case {"node": name}:
            used.add(nodes[name])
            return _Value(nodes[name])
        case {"tensor": name}:
            return _Value(tensors[name])
        case {"training": training, "evaluation": evaluation}:
            return _Modes(training, evaluation)
        case {"dtype": name}:
            return DTYPES[name]
        case {"memory_format": name}:
            return FORMATS[name]
        case {"float": text}:
            return float(text)
    return value


def _filled(part: Any, values: list[Any], device: torch.device, training: bool) -> Any:
    kind = type(part)
    if kind is _Value:
        return values[part.index]
    if kind is list:
        return [_filled(inner, values, device, training) for inner in part]
    if kind is _Modes:
        return part.training if training else part.evaluation
    return device if kind is _Device else part
