"""Models that come as graphs: from an artifact to shapes and costs, a network, and the facts about its layers."""

from gradclinic.model.graph.build import build_graph_model
from gradclinic.model.graph.facts import graph_facts
from gradclinic.model.graph.load import load_graph
from gradclinic.model.graph.network import GraphNetwork
from gradclinic.model.graph.resolve import resolve_graph

__all__ = ["GraphNetwork", "build_graph_model", "graph_facts", "load_graph", "resolve_graph"]
