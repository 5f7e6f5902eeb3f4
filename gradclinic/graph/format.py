"""The form of an artifact: a model as a graph of operators, beside its weights in one safetensors file.

The JSON stands in the file's `__metadata__` under `gradclinic.graph`. A node names an operator (`aten.linear.default`)
and its arguments; an argument is a number, a boolean, null, one of `WORDS`, a list of arguments, or an object:

    {"node": "linear"}                          what an earlier node, or the input, gives
    {"tensor": "body.0.weight"}                 a parameter, a buffer or a constant by its name
    {"training": 0.1, "evaluation": 0.0}        the one while training, the other in evaluation
    {"dtype": "float32"}, {"memory_format": "contiguous_format"}
    {"float": "-inf"}                           what JSON has no number for
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gradclinic.contract.base import Size, SpecModel

METADATA_KEY = "gradclinic.graph"
VERSION = 1

WORDS = frozenset(
    {"none", "tanh", "constant", "reflect", "replicate", "circular", "same", "valid", "floor", "trunc", "ij", "xy"}
)
"""The texts that an argument can be."""

_PART = r"[A-Za-z0-9_-]+"
DottedName = Annotated[str, Field(pattern=rf"^{_PART}(\.{_PART})*$", max_length=200)]
"""The name of a module, a parameter or a buffer, as `named_modules` and `state_dict` have it."""

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=120)]
DType = Literal["float32", "int64", "bool"]
Sizes = Annotated[tuple[Size, ...], Field(strict=False, max_length=8)]


class GraphInput(SpecModel):
    """What the model takes: one batch of samples."""

    name: NodeName = Field(description="What the nodes call it.")
    shape: Sizes = Field(description="Shape of one sample, without the batch.")
    dtype: Literal["float32", "int64"] = Field("float32", description="int64 are tokens.")


class GraphTensor(SpecModel):
    """A tensor of the model, stored in the file under its name; or another name for one."""

    kind: Literal["parameter", "buffer", "constant"] = Field(description="Constants are no part of the state.")
    trained: bool = Field(False, description="Whether the parameter has a gradient.")
    same: DottedName | None = Field(None, description="The name under which this very tensor stands already.")


class GraphLayer(SpecModel):
    """A layer whose output is watched: a module without children, or a function that the model calls between them."""

    name: DottedName = Field(
        description="The module's own name; of a function, the module's that calls it and the node's."
    )
    type: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=80)] = Field(
        description="The class of the module: Linear."
    )


class GraphNode(SpecModel):
    """One operator on what was there before."""

    name: NodeName
    op: Annotated[str, Field(max_length=120)] = Field(description="One of `gradclinic.graph.ALLOWED`.")
    args: list[Any] = Field(default_factory=list, max_length=64)
    kwargs: dict[str, Any] = Field(default_factory=dict, max_length=16)
    layer: Annotated[int, Field(ge=0)] | None = Field(None, description="The layer that it belongs to, by its index.")
    watched: bool = Field(False, description="Whether its value is what the layer gives, and is recorded as that.")


class GraphDocument(SpecModel):
    """The JSON graph."""

    version: Literal[1] = Field(description="Of this form.")
    torch: Annotated[str, Field(max_length=80)] = Field(description="The PyTorch that it was exported by.")
    name: Annotated[str, Field(max_length=200)] | None = Field(None, description="What the user calls the model.")
    input: GraphInput
    tensors: dict[DottedName, GraphTensor]
    layers: list[GraphLayer]
    nodes: list[GraphNode] = Field(min_length=1)
    output: NodeName = Field(description="The node whose value is the model's output.")
