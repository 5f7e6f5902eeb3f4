"""What a node takes of the nodes and tensors before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from gradclinic.graph.format import GraphNode


def names_in(node: GraphNode, kind: Literal["node", "tensor"]) -> Iterator[str]:
    """Yield the names of the nodes, or of the tensors, among a node's arguments."""
    yield from _names([*node.args, *node.kwargs.values()], kind)


def _names(value: Any, kind: str) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from _names(part, kind)
    elif isinstance(value, dict) and kind in value:
        yield value[kind]
