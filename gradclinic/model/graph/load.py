"""Finding the artifact that a spec names, and reading its weights."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.spec import GraphModel
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.files import Files
from gradclinic.graph import ARTIFACT, Graph, read_graph


def find_artifact(model: GraphModel, files: Files | None) -> Path:
    """Return the file of a model's artifact.

    Raises:
        InvalidSpec: There is none.
    """
    return (files or Files()).artifact(model.artifact)


def load_graph(model: GraphModel, files: Files | None, limits: Limits = DEFAULT_LIMITS) -> Graph:
    """Read and check the graph of a model's artifact; not its weights.

    Raises:
        InvalidSpec: There is none, or it cannot be used.
    """
    return read_graph(find_artifact(model, files), limits)


def load_tensors(path: Path, graph: Graph) -> dict[str, Tensor]:
    """Read the tensors of an artifact, on the CPU.

    Raises:
        InvalidSpec: The library of safetensors finds fault with the file, or it holds other tensors by now.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # Copied out of the file: a parameter is written to, and the file may go.
            tensors = {name: file.get_tensor(name).clone() for name in graph.tensors}
    except SafetensorError as error:
        raise InvalidSpec([Fault(ARTIFACT, f'The artifact cannot be read. safetensors says: "{error}"')]) from None
    if any(tuple(tensor.shape) != graph.tensors[name].shape for name, tensor in tensors.items()):
        raise InvalidSpec([Fault(ARTIFACT, "The artifact has changed while it was read.", "the same artifact again")])
    return tensors
