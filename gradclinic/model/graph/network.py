"""The network of a graph: a tree of modules under the user's own names, and the program that runs over it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.graph import IN_PLACE, Graph, GraphNode
from gradclinic.model.graph.measure import Allowed, NodeRefused, meta_tensors, run_on_meta
from gradclinic.model.graph.program import Function, compile_graph

LARGEST_TENSOR = DEFAULT_LIMITS.max_memory
"""Bytes that one value of a node may take."""


class Part(nn.Module):
    """One module of the user's: it holds parameters and parts, and, where it is a layer, its output passes through it.

    What it computes stands in the graph; passing through is what a hook needs to see the output.
    """

    def __setattr__(self, name: str, value: object) -> None:
        # A child or a parameter may be called `training`, which PyTorch's own would refuse; see network.Chain.
        object.__setattr__(self, name, value)

    def forward(self, value: Tensor) -> Tensor:
        """Return the layer's output as it came."""
        return value


class GraphNetwork(Part):
    """A model that came as a graph: its parameters and buffers under their own names, interpreted node by node.

    A batch of a size that was not seen yet runs on the `meta` device first, so that none can take more memory than there is:
    a size that nodes work out may depend on the batch's in any way.
    """

    def __init__(self, graph: Graph, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.graph = graph
        self._tried: set[tuple[tuple[int, ...], bool]] = set()
        parts: dict[str, nn.Module] = {"": self}
        tables: dict[str, tuple[dict[str, Tensor | None], str]] = {}
        for name, told in graph.document.tensors.items():
            holder, _, last = name.rpartition(".")
            part = _part(parts, holder)
            # Put where PyTorch keeps them, past its check: a parameter may be called like an attribute of a module.
            table: dict[str, Tensor | None] = part._buffers if told.kind != "parameter" else part._parameters  # type: ignore[assignment]  # noqa: SLF001 - see above
            table[last] = tensors[told.same or name]
            if told.kind == "constant":
                part._non_persistent_buffers_set.add(last)  # noqa: SLF001 - likewise
            tables[name] = (table, last)
        layers = [_part(parts, layer.name) for layer in graph.document.layers]

        def seen(node: GraphNode, function: Function) -> Function:
            if not node.watched or node.layer is None:
                return function
            return partial(_pass_through, layers[node.layer], function)

        self._program = compile_graph(graph.document, seen)
        self._sources = [tables[name] for name in self._program.names]
        self._overwrites = any(node.op in IN_PLACE for node in graph.document.nodes)

    def forward(self, x: Tensor) -> Tensor:
        """Pass a batch x (N, ...) through the model; x itself is left as it is.

        Raises:
            RuntimeError: A node would take more memory than is allowed, or PyTorch raised it.
        """
        if (tuple(x.shape), self.training) not in self._tried:
            self._try(tuple(x.shape))
        tensors = [table[name] for table, name in self._sources]
        y: Tensor = self._program.run(tensors, x.clone() if self._overwrites else x, training=self.training)  # type: ignore[arg-type]  # no table has None
        return y

    def _try(self, shape: tuple[int, ...]) -> None:
        try:
            run_on_meta(
                self.graph, meta_tensors(self.graph), shape, training=self.training, allowed=Allowed(LARGEST_TENSOR)
            )
        except NodeRefused as refused:
            raise RuntimeError(str(refused)) from refused
        self._tried.add((shape, self.training))


def _pass_through(layer: nn.Module, function: Function, /, *args: object, **kwargs: object) -> object:
    value = function(*args, **kwargs)
    return layer(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def _part(parts: dict[str, nn.Module], name: str) -> nn.Module:
    """Return the module of a dotted name; those that are missing on the way are made."""
    if name not in parts:
        holder, _, last = name.rpartition(".")
        parts[name] = Part()
        _part(parts, holder)._modules[last] = parts[name]  # noqa: SLF001 - `add_module` refuses names of nn.Module's own
    return parts[name]
