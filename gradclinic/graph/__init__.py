"""Models of any architecture as data: the artifact's form, reading it and checking it, on paper.

An artifact is one safetensors file with a JSON graph of allow-listed operators in its metadata. Nothing in it is ever
run or unpickled here; `gradclinic.model.graph` builds the network, `gradclinic.export` makes artifacts.
"""

from gradclinic.graph.format import METADATA_KEY, VERSION, GraphDocument, GraphInput, GraphLayer, GraphNode, GraphTensor
from gradclinic.graph.operators import ALLOWED, GETITEM, IN_PLACE, NUMBERS, RECURRENT, SHAPES
from gradclinic.graph.read import ARTIFACT, Graph, StoredTensor, read_graph
from gradclinic.graph.references import names_in

__all__ = [
    "ALLOWED",
    "ARTIFACT",
    "GETITEM",
    "IN_PLACE",
    "METADATA_KEY",
    "NUMBERS",
    "RECURRENT",
    "SHAPES",
    "VERSION",
    "Graph",
    "GraphDocument",
    "GraphInput",
    "GraphLayer",
    "GraphNode",
    "GraphTensor",
    "StoredTensor",
    "names_in",
    "read_graph",
]
