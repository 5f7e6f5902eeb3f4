"""From an artifact to a network that can be trained: float32, on the CPU, with the artifact's weights or a spec's `init`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from gradclinic.contract.spec import GraphModel
from gradclinic.files import Files
from gradclinic.graph import Graph
from gradclinic.model.graph.load import find_artifact, load_graph, load_tensors
from gradclinic.model.graph.network import GraphNetwork
from gradclinic.model.initialization import initialize


def build_graph_model(model: GraphModel, files: Files | None, *, seed: int) -> GraphNetwork:
    """Build the network of a graph model. Its weights are the artifact's; `init` draws them anew by `seed`.

    Raises:
        InvalidSpec: There is no such artifact, or it cannot be used.
    """
    network = network_of(find_artifact(model, files), load_graph(model, files))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        initialize(network, model.init)
    return network


def network_of(path: Path, graph: Graph) -> GraphNetwork:
    """Build the network of a graph that was read from `path`, with the weights there.

    Raises:
        InvalidSpec: They cannot be read.
    """
    tensors = load_tensors(path, graph)
    for name, told in graph.document.tensors.items():
        if told.kind == "parameter" and told.same is None:
            tensors[name] = nn.Parameter(tensors[name], requires_grad=told.trained)
    return GraphNetwork(graph, tensors)
