"""Reading an artifact: everything about it that can be told without torch, and whether it may be used at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.parse import load_json, parse_document
from gradclinic.errors import InvalidSpec
from gradclinic.graph.check import check_graph
from gradclinic.graph.format import METADATA_KEY, GraphDocument
from gradclinic.graph.stored import ARTIFACT, StoredTensor, read_frame, refusal

__all__ = ["ARTIFACT", "Graph", "StoredTensor", "read_graph"]


@dataclass(frozen=True)
class Graph:
    """A model as data: its graph, and the tensors that stand in the file under their names."""

    document: GraphDocument
    tensors: Mapping[str, StoredTensor]

    @property
    def parameters(self) -> int:
        """Return how many numbers all parameters have; a shared one counts once."""
        return self._numbers(trained_alone=False)

    @property
    def trained_parameters(self) -> int:
        """Return how many of them are trained."""
        return self._numbers(trained_alone=True)

    def _numbers(self, *, trained_alone: bool) -> int:
        told = self.document.tensors
        return sum(
            tensor.numbers
            for name, tensor in self.tensors.items()
            if told[name].kind == "parameter" and (told[name].trained or not trained_alone)
        )


def read_graph(source: Path | IO[bytes], limits: Limits = DEFAULT_LIMITS) -> Graph:
    """Read the graph of an artifact, by its path or open, and check all that can be checked on paper; no weight is read.

    Raises:
        InvalidSpec: It is no artifact, holds what is not allowed, or more than the limits allow; all faults stand at
            `/model/artifact`.
        OSError: The file cannot be read.
    """
    metadata, tensors = read_frame(source)
    if METADATA_KEY not in metadata:
        raise refusal(f"its metadata have no {METADATA_KEY!r}, which is the graph.")
    try:
        document = parse_document(GraphDocument, load_json(metadata[METADATA_KEY]))
    except InvalidSpec as wrong:
        raise _at_artifact(wrong) from None
    check_graph(document, tensors, limits)
    return Graph(document, tensors)


def _at_artifact(wrong: InvalidSpec) -> InvalidSpec:
    """Move the faults of the graph's JSON to where the artifact is named; its own places go into the words."""
    first = wrong.faults[0]
    where = f" at {first.pointer[:200]}" if first.pointer else ""
    return refusal(f"its graph is not of the form that is known here{where}. {first.detail}")
