"""Whether a graph holds together: its names, what its nodes refer to, and how much of everything there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from gradclinic.contract.limits import Limits
from gradclinic.contract.parse import MAX_FAULTS
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.graph.arguments import argument_problems
from gradclinic.graph.format import GraphDocument, GraphNode, GraphTensor
from gradclinic.graph.operators import ALLOWED, IN_PLACE
from gradclinic.graph.stored import AGAIN, ARTIFACT, StoredTensor

NODES_A_LAYER = 20
"""Nodes that a graph may have for each layer that a model may have; an attention of PyTorch's is about twenty."""

_ALLOWED = frozenset(ALLOWED)
_STORED_AS = {"parameter": ("F32",), "buffer": ("F32", "I64", "BOOL"), "constant": ("F32", "I64", "BOOL")}


def check_graph(document: GraphDocument, tensors: Mapping[str, StoredTensor], limits: Limits) -> None:
    """Refuse a graph that does not hold together, or is larger than the limits allow.

    Raises:
        InvalidSpec: `faults` lists what is wrong, all at `/model/artifact`.
    """
    faults = list(_size_faults(document, tensors, limits))
    if not faults:  # what is this large is not looked at any closer
        faults = [*_tensor_faults(document.tensors, tensors), *_layer_faults(document), *_node_faults(document)]
    if faults:
        raise InvalidSpec(faults[:MAX_FAULTS])


def _size_faults(document: GraphDocument, tensors: Mapping[str, StoredTensor], limits: Limits) -> Iterator[Fault]:
    parameters = sum(
        tensor.numbers
        for name, tensor in tensors.items()
        if name in document.tensors and document.tensors[name].kind == "parameter"
    )
    most_nodes = NODES_A_LAYER * limits.max_layers
    counts = (
        (len(document.layers), "layers", limits.max_layers),
        (len(document.nodes), "nodes", most_nodes),
        (len(document.tensors), "tensors", most_nodes),
        (parameters, "parameters", limits.max_parameters),
        (sum(tensor.bytes for tensor in tensors.values()), "bytes of tensors", limits.max_memory),
    )
    for count, unit, most in counts:
        if count > most:
            yield _fault(f"The model has {count:,} {unit}; the limit here is {most:,}.", f"at most {most:,} {unit}")


def _tensor_faults(told: Mapping[str, GraphTensor], stored: Mapping[str, StoredTensor]) -> Iterator[Fault]:
    for name in stored.keys() - told.keys():
        yield _fault(f"The tensor {name[:100]!r} stands in the file, and the graph does not say what it is.")
    for name, tensor in told.items():
        if tensor.same is not None:
            other = told.get(tensor.same)
            if other is None or other.same is not None or other.kind != tensor.kind:
                yield _fault(f"The tensor {name!r} is said to be {tensor.same!r}, which is no such {tensor.kind}.")
            elif name in stored:
                yield _fault(f"The tensor {name!r} is said to be {tensor.same!r}, and stands in the file all the same.")
        elif name not in stored:
            yield _fault(f"The {tensor.kind} {name!r} is missing in the file.")
        elif stored[name].dtype not in _STORED_AS[tensor.kind]:
            yield _fault(f"The {tensor.kind} {name!r} is of type {stored[name].dtype}.", "float32: model.float()")
        if tensor.trained and tensor.kind != "parameter":
            yield _fault(f"The {tensor.kind} {name!r} is said to be trained; parameters alone are.")


def _layer_faults(document: GraphDocument) -> Iterator[Fault]:
    seen: set[str] = set()
    for layer in document.layers:
        if layer.name in seen:
            yield _fault(f"There are two layers {layer.name!r}.", "names of their own")
        seen.add(layer.name)


def _node_faults(document: GraphDocument) -> Iterator[Fault]:
    known = {document.input.name}
    for node in document.nodes:
        if node.name in known:
            yield _node_fault(node, "stands twice", "a name of its own for each node")
        if node.op not in _ALLOWED:
            yield _unknown_operator(node)
        if node.layer is not None and node.layer >= len(document.layers):
            yield _node_fault(node, f"belongs to layer {node.layer}", f"one of the {len(document.layers)} layers")
        for detail, expected in argument_problems(node, known, document.tensors):
            yield _node_fault(node, detail, expected)
        if node.op in IN_PLACE and not (node.args and isinstance(node.args[0], dict) and "node" in node.args[0]):
            yield _node_fault(node, "overwrites what is no node's value", "what an earlier node gives")
        known.add(node.name)
    if document.output not in known:
        yield _fault(f"The output {document.output!r} is no node.")


def _unknown_operator(node: GraphNode) -> Fault:
    near = difflib.get_close_matches(node.op, ALLOWED, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return _fault(
        f"Node {node.name!r}: the operator {node.op!r} is not allowed.{hint}", "operators that are allowed here"
    )


def _node_fault(node: GraphNode, detail: str, expected: str) -> Fault:
    return _fault(f"Node {node.name!r} ({node.op}): it {detail}.", expected)


def _fault(detail: str, expected: str = AGAIN) -> Fault:
    return Fault(ARTIFACT, detail, expected)
