"""The order in which a model calls its layers, and which of them every gradient passes through: read off one forward
pass and the graph that it left. `named_modules` knows neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch.autograd.graph import Node

from gradclinic.history import LayerFacts


class ForwardPath:
    """Notes the calls of a forward pass: of several the last one in the first step that has any with a graph.

    It keeps the nodes of that graph until the step ends, and by that the graph; `backward()` frees what is in it as ever.
    """

    def __init__(self, layers: Sequence[LayerFacts]) -> None:
        self.is_open = bool(layers)
        self._layers = layers
        self._calls: list[tuple[int, Node | None]] = []

    def begin(self) -> None:
        """Begin a forward pass."""
        if not _in_backward():
            self._calls.clear()

    def note(self, place: int, node: Node | None) -> None:
        """Note that the layer at that place was called, and gave a tensor of that node."""
        if not _in_backward():
            self._calls.append((place, node))

    def close(self) -> list[LayerFacts] | None:
        """Return the layers in the order in which they were called, and forget the graph; None if there was none yet.

        What was not called comes last and is not on the trunk, nor is what is called several times: one gradient is
        recorded of all its calls.
        """
        calls, self._calls = self._calls, []
        with_graph = [(place, node) for place, node in calls if node is not None]
        if not with_graph:
            return None
        self.is_open = False
        trunk = layers_on_trunk(with_graph)
        order = dict.fromkeys([*(place for place, _ in calls), *range(len(self._layers))])
        times = Counter(place for place, _ in calls)
        return [
            self._layers[place].model_copy(update={"on_trunk": place in trunk, "calls": max(times[place], 1)})
            for place in order
        ]


def _in_backward() -> bool:
    """Say whether a backward pass is under way, which calls layers once more where activations are checkpointed."""
    return torch._C._current_graph_task_id() != -1  # noqa: SLF001 - it has no public name


def layers_on_trunk(calls: Sequence[tuple[int, Node]]) -> frozenset[int]:
    """Return the layers, of (layer, node) in the order of the calls, that all gradients to the first one pass through.

    They come from the last one. In an order in which every node stands behind those that it takes from, a node lies on
    every way between the two if no edge leads over it.
    """
    nodes = _inputs_first(calls[-1][1])
    places: dict[int, set[Node]] = {}
    for layer, node in calls:
        if node in nodes:
            places.setdefault(layer, set()).add(node)
    first = next(node for _, node in calls if node in nodes)
    between = {first}
    for node, inputs in nodes.items():
        if not between.isdisjoint(inputs):
            between.add(node)
    passed: set[Node] = set()
    users: Counter[Node] = Counter()
    edges = 0  # that lead from nodes before to nodes behind
    for node in reversed([node for node in nodes if node in between]):
        edges -= users[node]
        if edges == 0:
            passed.add(node)
        inputs = [one for one in nodes[node] if one in between]
        users.update(inputs)
        edges += len(inputs)
    return frozenset(layer for layer, given in places.items() if len(given) == 1 and given <= passed)


def _inputs_first(root: Node) -> dict[Node, list[Node]]:
    """Return all nodes from `root` on with those that they take from, each behind all of them."""
    found: dict[Node, list[Node]] = {}
    waiting = [(root, False)]
    while waiting:
        node, is_left = waiting.pop()
        if is_left:
            found[node] = [one for one, _ in node.next_functions if one is not None]
        elif node not in found:
            waiting.append((node, True))
            waiting += [(one, False) for one, _ in node.next_functions if one is not None and one not in found]
    return found
