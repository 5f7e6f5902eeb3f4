"""What the arguments of a node may be, as JSON. Whether an operator takes them is for PyTorch's schema to say."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any, get_args

from gradclinic.graph.format import WORDS, DType, GraphNode

Problem = tuple[str, str]
"""What is wrong, and what would be right."""

MAX_NESTING = 4
"""Levels of lists in an argument; an index of several lists has three."""

MAX_ENTRIES = 10_000
"""Numbers and references in all arguments of one node."""

LARGEST_INTEGER = 2**31 - 1
"""No dimension is longer; PyTorch's 2^63 - 1, which means the end, is written as this."""

LARGEST_FLOAT = 3.4e38

_EQUATION = re.compile(r"[A-Za-z., >-]{1,100}")
_KEYWORD = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_FLOATS = ("inf", "-inf", "nan")


def argument_problems(node: GraphNode, nodes: Container[str], tensors: Container[str]) -> Iterator[Problem]:
    """Yield what is wrong with a node's arguments, where `nodes` and `tensors` are what it may refer to."""
    for key in node.kwargs:
        if not _KEYWORD.fullmatch(key):
            yield f"has the keyword {key[:40]!r}", "PyTorch's keywords"
    entries = 0
    level = [*node.args, *node.kwargs.values()]
    for _ in range(MAX_NESTING):
        entries += len(level)
        if entries > MAX_ENTRIES:
            yield f"has more than {MAX_ENTRIES:,} arguments", "fewer"
            return
        for value in level:
            if not isinstance(value, list) and (problem := _problem(node, value, nodes, tensors)):
                yield problem
        level = [entry for value in level if isinstance(value, list) for entry in value]
        if not level:
            return
    yield "has arguments that are nested too deep", f"at most {MAX_NESTING} levels"


def _problem(node: GraphNode, value: Any, nodes: Container[str], tensors: Container[str]) -> Problem | None:
    match value:
        case None | bool():
            return None
        case int() if -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            return None
        case float() if -LARGEST_FLOAT <= value <= LARGEST_FLOAT:
            return None
        case int() | float():
            return "has a number that is too large", "integers of 32 bits, floats of float32"
        case str():
            is_equation = node.op == "aten.einsum.default" and _EQUATION.fullmatch(value)
            return None if value in WORDS or is_equation else (f"has the text {value[:40]!r}", ", ".join(sorted(WORDS)))
        case dict():
            return _object_problem(value, nodes, tensors)
    return "has an argument of no known kind", "numbers, words, references and lists"


def _object_problem(value: dict[str, Any], nodes: Container[str], tensors: Container[str]) -> Problem | None:
    match value:
        case {"node": str(name)} if len(value) == 1:
            return (
                None if name in nodes else (f"refers to {name[:80]!r}, which no node before it is", "an earlier node")
            )
        case {"tensor": str(name)} if len(value) == 1:
            return None if name in tensors else (f"refers to {name[:80]!r}, which is no tensor", "one of the tensors")
        case {"training": bool(), "evaluation": bool()} if len(value) == 2:
            return None
        case {"training": int() | float() as one, "evaluation": int() | float() as other} if len(value) == 2:
            return None if 0 <= one <= 1 and 0 <= other <= 1 else ("has no probability", "two numbers from 0 to 1")
        case {"dtype": str(name)} if len(value) == 1:
            return None if name in get_args(DType) else (f"has the type {name[:40]!r}", ", ".join(get_args(DType)))
        case {"memory_format": "contiguous_format" | "preserve_format"} if len(value) == 1:
            return None
        case {"float": str(name)} if len(value) == 1 and name in _FLOATS:
            return None
    return (
        "has an object that is not known",
        '{"node": ...}, {"tensor": ...}, {"training": ..., "evaluation": ...} or a type',
    )
