"""What a diagnosis has to know about the layers of a graph: order, type, parameters, and whether gradients can pass by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradclinic.graph import GETITEM, NUMBERS, Graph, GraphDocument, names_in
from gradclinic.history.facts import LayerFacts

WITHOUT_GRADIENT = tuple(
    f"aten.{name}"
    for name in (
        "eq.", "ne.", "lt.", "le.", "gt.", "ge.", "logical_", "is", "any.", "all.", "argmax.", "argmin.", "one_hot.", "detach.",
        "zeros_like.", "ones_like.", "full_like.", "new_", "bitwise_", "__and__.", "__or__.",
    )
)  # fmt: skip
"""How operators begin that no gradient passes through."""


def graph_facts(graph: Graph) -> list[LayerFacts]:
    """List the watched layers in the order in which the graph comes to them first; their names are the user's."""
    document = graph.document
    order = list(dict.fromkeys(node.layer for node in document.nodes if node.layer is not None and node.watched))
    parameters = _parameters(document)
    trunk = layers_on_trunk(document)
    return [
        LayerFacts(
            name=document.layers[layer].name,
            type=document.layers[layer].type,
            parameters=parameters.get(layer, []),
            on_trunk=layer in trunk,
            weight_shape=_weight_shape(graph, parameters.get(layer, [])),
        )
        for layer in order
    ]


def _parameters(document: GraphDocument) -> dict[int, list[str]]:
    """Return the parameters that each layer's nodes use, by the first of their names."""
    found: dict[int, dict[str, None]] = {}
    for node in document.nodes:
        if node.layer is not None:
            for name in names_in(node, "tensor"):
                told = document.tensors[name]
                if told.kind == "parameter":
                    found.setdefault(node.layer, {})[told.same or name] = None
    return {layer: list(names) for layer, names in found.items()}


def _weight_shape(graph: Graph, parameters: list[str]) -> list[int] | None:
    """Return the shape of a layer's `weight`; of what has none of that name, that of its first matrix."""
    named = [name for name in parameters if name.rpartition(".")[2] == "weight"]
    matrices = [name for name in parameters if len(graph.tensors[name].shape) > 1]
    return list(graph.tensors[name].shape) if (name := next(iter(named + matrices), None)) is not None else None


def layers_on_trunk(document: GraphDocument) -> frozenset[int]:
    """Return the layers that every gradient from the output to what stands before them passes through.

    The nodes stand in an order in which each takes earlier ones alone. In it, a node lies on every way from input to output
    if no edge leads over it: an edge over it is a way around it, and a way around it has one. The nodes of one call of
    a layer count as one place. What leads to no output is left out, and so is what gives no gradient: numbers, and what
    comes of no input (positions, say).
    """
    places = _places(document)
    edges = list(_edges(document, places))
    open_edges = [0] * (len(set(places.values())) + 2)
    for first, last in edges:
        if last - first > 1:  # over the places first + 1 to last - 1
            open_edges[first + 1] += 1
            open_edges[last] -= 1
    covered, over = [], 0
    for change in open_edges:
        over += change
        covered.append(over > 0)
    live = {place for edge in edges for place in edge}
    calls: dict[int, set[int]] = {}
    for node in document.nodes:
        if node.layer is not None:
            calls.setdefault(node.layer, set()).add(places[node.name])
    return frozenset(
        layer
        for layer, spots in calls.items()
        # A layer that is called at several places has one gradient recorded of them all.
        if len(spots) == 1 and all(spot in live and not covered[spot] for spot in spots)
    )


def _places(document: GraphDocument) -> dict[str, int]:
    """Number the places: the input is 0; nodes of one layer one after the other share one."""
    places, place, last = {document.input.name: 0}, 0, None
    for node in document.nodes:
        if node.layer is None or node.layer != last:
            place += 1
        places[node.name], last = place, node.layer
    return places


def _edges(document: GraphDocument, places: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the edges along which gradients flow between places, from the input to the output."""
    fed = {document.input.name}  # what comes of the input
    for node in document.nodes:
        if not _stops_gradients(node.op) and any(name in fed for name in names_in(node, "node")):
            fed.add(node.name)
    needed = {document.output}
    for node in reversed(document.nodes):
        if node.name in needed:
            needed.update(name for name in names_in(node, "node") if name in fed)
    for node in document.nodes:
        if node.name in needed and node.name in fed:
            for name in names_in(node, "node"):
                if name in fed and places[name] != places[node.name]:
                    yield places[name], places[node.name]
    yield places[document.output], max(places.values()) + 1


def _stops_gradients(op: str) -> bool:
    return op != GETITEM and (op in NUMBERS or op.startswith(WITHOUT_GRADIENT))
