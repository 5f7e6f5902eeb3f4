"""Working out a graph's shapes and costs on the batches that a training will pass through it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Literal

from gradclinic.contract.dataset import DataFacts
from gradclinic.contract.limits import Limits
from gradclinic.contract.spec import GraphModel, JobSpec
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.graph import ARTIFACT, SHAPES, Graph, GraphDocument, GraphLayer, GraphNode, names_in
from gradclinic.model.graph.measure import Allowed, NodeRefused, Taken, meta_tensors, run_on_meta
from gradclinic.model.initialization import init_problems
from gradclinic.model.limits import EVALUATION_ROWS, batch_rows
from gradclinic.model.measure import warm_up
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution
from gradclinic.model.sample import Sample, Shape, shown

REST = GraphLayer(name="graph", type="Functions")
"""All that stands in no layer: shapes that are changed, sums, masks."""


def resolve_graph(spec: JobSpec, model: GraphModel, graph: Graph, facts: DataFacts, limits: Limits) -> Resolution:
    """Run a graph on the `meta` device, on every size of batch that the training has: its layers, and its faults.

    Raises:
        InvalidSpec: It does not fit the data, a node cannot be run, or it takes too much.
    """
    if faults := [*_input_faults(spec, graph.document, facts), *_init_faults(model, graph)]:
        raise InvalidSpec(faults)
    warm_up()
    allowed = Allowed(limits.max_memory, limits.max_sequence, time.monotonic() + limits.resolve_seconds)
    tensors, batch = meta_tensors(graph), batch_rows(spec, facts)
    runs: list[dict[str, Taken]] = []
    samples: set[Shape] = set()
    for rows, training in [
        *((rows, True) for rows in _train_sizes(spec, facts)),
        *((rows, False) for rows in _judged_sizes(facts)),
    ]:
        try:
            output, taken = run_on_meta(graph, tensors, (rows, *facts.input_shape), training=training, allowed=allowed)
        except NodeRefused as refused:
            raise InvalidSpec([refused.fault]) from refused
        samples.add(tuple(output.shape[1:]))
        if output.shape[:1] != (rows,) or len(samples) > 1:
            detail = f"The artifact does not keep the batch apart: {rows} samples become {list(output.shape)}."
            raise InvalidSpec([Fault(ARTIFACT, detail, "an output of one answer a sample, the batch first")])
        if training:
            runs.append(taken)
    faults = list(_token_faults(spec, graph, facts))
    entries = {f"{ARTIFACT}/{place}": entry for place, entry in enumerate(_entries(graph, runs, batch))}
    return Resolution(Sample(samples.pop()), entries, {fault.pointer: fault for fault in faults})


def _train_sizes(spec: JobSpec, facts: DataFacts) -> list[int]:
    """Return the sizes of the batches that are trained on: the largest comes first."""
    batch = batch_rows(spec, facts)
    left = facts.train % batch
    # A last batch of one sample is joined to the one before.
    return [batch, *([batch + 1 if left == 1 and facts.train > batch else left] if left else [])]


def _judged_sizes(facts: DataFacts) -> list[int]:
    judged = facts.validation or facts.train
    rows = min(judged, EVALUATION_ROWS)
    left = judged % rows
    # The first two samples show the shape of the output.
    return sorted({rows, min(2, facts.train), *([rows + 1 if left == 1 else left] if left else [])})


def _input_faults(spec: JobSpec, document: GraphDocument, facts: DataFacts) -> Iterator[Fault]:
    taken, given = document.input.shape, facts.input_shape
    if taken != given:
        detail = f"The artifact takes batches of {shown(taken)}, and {spec.data.type} gives {shown(given)}."
        flatter = math.prod(taken) == math.prod(given) and hasattr(spec.data, "flatten")
        hint = f"; flatten {str(len(taken) == 1).lower()} in the data makes them so" if flatter else ""
        yield Fault(ARTIFACT, detail, f"data of {shown(taken)}{hint}")
    if document.input.dtype == "int64" and not facts.integers:
        detail = f"The artifact takes tokens, which are whole numbers, and {spec.data.type} gives others."
        yield Fault(ARTIFACT, detail, "data whose inputs are whole numbers, or a model that takes float32")


def _init_faults(model: GraphModel, graph: Graph) -> Iterator[Fault]:
    shapes = [
        (name, stored.shape)
        for name, stored in graph.tensors.items()
        if graph.document.tensors[name].kind == "parameter"
    ]
    for part, (detail, expected) in init_problems(model.init, shapes).items():
        yield Fault(f"/model/init/{part}", f"The artifact: {detail}.", expected)


def _token_faults(spec: JobSpec, graph: Graph, facts: DataFacts) -> Iterator[Fault]:
    """Yield the embeddings of the input that have fewer vectors than there are tokens."""
    tokens = {graph.document.input.name}
    for node in graph.document.nodes:
        first = node.args[0] if node.args else None
        if node.op in SHAPES and isinstance(first, dict) and first.get("node") in tokens:
            tokens.add(node.name)
        if node.op != "aten.embedding.default" or not tokens.intersection(names_in(node, "node")):
            continue
        for name in names_in(node, "tensor"):
            rows = graph.tensors[graph.document.tensors[name].same or name].shape[:1]
            if rows and rows[0] < (facts.tokens or 0):
                detail = f"{name} has {rows[0]} vectors, too few for the {facts.tokens} tokens of {spec.data.type}."
                yield Fault(ARTIFACT, detail, f"{facts.tokens} vectors, or more")


def _entries(graph: Graph, runs: list[dict[str, Taken]], batch: int) -> Iterator[Entry]:
    """Yield what each layer takes, in the order of the graph, and at last what stands in none."""
    document = graph.document
    members: dict[int | None, list[GraphNode]] = {}
    for node in document.nodes:
        members.setdefault(node.layer, []).append(node)
    rest = members.pop(None, [])
    counted: set[str] = set()
    for layer, nodes in members.items():
        if layer is not None:
            yield _entry(document.layers[layer], nodes, graph, runs, batch, _uncounted(nodes, document, counted))
    left = [name for name, told in document.tensors.items() if told.kind == "parameter" and told.same is None]
    names = [name for name in left if name not in counted]
    if rest or names:
        yield _entry(REST, rest, graph, runs, batch, names)


def _uncounted(nodes: list[GraphNode], document: GraphDocument, counted: set[str]) -> list[str]:
    """Return the parameters that these nodes are the first to use, and count them."""
    used = {document.tensors[name].same or name: None for node in nodes for name in names_in(node, "tensor")}
    names = [name for name in used if name not in counted and document.tensors[name].kind == "parameter"]
    counted.update(names)
    return names


def _entry(  # noqa: PLR0913, PLR0917 - all that a layer is made of
    layer: GraphLayer, nodes: list[GraphNode], graph: Graph, runs: list[dict[str, Taken]], batch: int, names: list[str]
) -> Entry:
    def most(what: Literal["flops", "held", "calls"]) -> int:
        return max(sum(int(getattr(taken[node.name], what)) for node in nodes) for taken in runs)

    shapes = {name: taken.output[1:] for name, taken in runs[0].items()} | {
        graph.document.input.name: graph.document.input.shape
    }
    watched = [node for node in nodes if node.watched]
    own = {node.name for node in nodes}
    # Of what comes in, the first that is no number.
    sources = [name for node in nodes for name in names_in(node, "node") if name not in own and shapes[name]]
    told = graph.document.tensors
    return Entry(
        layer,
        Place(layer.name, ARTIFACT),
        input=shapes[sources[0]] if sources else (),
        output=shapes[watched[-1].name if watched else graph.document.output],
        parameters=sum(graph.tensors[name].numbers for name in names),
        trained=sum(graph.tensors[name].numbers for name in names if told[name].trained),
        tensors=len(names),
        flops=most("flops"),
        held=math.ceil(most("held") / batch),
        calls=most("calls"),
        watched=1 if watched else 0,
    )
