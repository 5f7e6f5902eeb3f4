"""Every layer of a model, and those that hold others.

The layers are `torch.nn` classes by their own names and keywords; sizes that follow from the input are optional. Adding
one is one class in the module of its kind, one place in that module's union, and where its sizes are inferred, one line
in `gradclinic.model.layers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, Tag

from gradclinic.contract.activations import AnyActivation, ShapedActivation
from gradclinic.contract.base import Index, Size, SpecModel, misfit
from gradclinic.contract.convolution import Convolution
from gradclinic.contract.feedforward import Embedding, Flatten, Identity, Linear, Unflatten
from gradclinic.contract.layer import LayerSpec, which
from gradclinic.contract.normalization import BatchNormalization, Normalization
from gradclinic.contract.pooling import Resizing
from gradclinic.contract.regularization import Regularization
from gradclinic.contract.sequence import SequenceLayer


class Sequential(LayerSpec):
    """A group of layers, one after the other."""

    type: Literal["Sequential"]
    layers: Layers = Field(description="The layers of the group.")


class Repeat(LayerSpec):
    """The same layers several times over, each turn with parameters of its own."""

    type: Literal["Repeat"]
    times: Size = Field(description="Number of turns.")
    layers: Layers = Field(description="The layers of one turn.")


class Residual(LayerSpec):
    """x + f(x), or shortcut(x) + f(x). He et al. 2016."""

    type: Literal["Residual"]
    layers: Layers = Field(description="The layers of f.")
    shortcut: Annotated[
        Annotated[Literal["identity"], Tag("identity")] | Annotated[Layers, Tag("layers")],
        which("identity", "layers"),
    ] = Field("identity", description="What is added to f(x): the input itself, or the layers that project it.")


class Dense(LayerSpec):
    """Blocks whose output is concatenated to their input, so that each sees all before it. Huang et al. 2017."""

    type: Literal["Dense"]
    times: Size = Field(description="Number of blocks, each with parameters of its own.")
    layers: Layers = Field(description="The layers of one block.")
    dim: Index = Field(1, description="The dimension to concatenate along; the batch is 0.")


class Parallel(LayerSpec):
    """Several branches over the same input, and what they give joined."""

    type: Literal["Parallel"]
    branches: Annotated[tuple[Layers, ...], Field(strict=False, min_length=1, max_length=100)] = Field(
        description="The branches, each a list of layers."
    )
    merge: Literal["concat", "sum"] = Field(description="How the outputs are joined.")
    dim: Index = Field(1, description="The dimension to concatenate along; the batch is 0.")


Combinator = Sequential | Repeat | Residual | Dense | Parallel
"""The layers that hold layers."""

AnyLayer = (
    AnyActivation | ShapedActivation | Linear | Flatten | Unflatten | Identity | Embedding | Convolution | Resizing
    | Normalization | Regularization | SequenceLayer | Combinator
)  # fmt: skip
"""Any layer."""

Layer = Annotated[AnyLayer, Field(discriminator="type")]
"""Any layer, told apart by its `type`."""


def _distinct_names(layers: tuple[AnyLayer, ...]) -> tuple[AnyLayer, ...]:
    """Refuse a name that two siblings share."""
    seen: dict[str, int] = {}
    for place, layer in enumerate(layers):
        if layer.name is not None and layer.name in seen:
            message = f"The name {layer.name!r} is taken by layer {seen[layer.name]} beside it."
            raise misfit(message, at=f"{place}/name", expected="a name that is unique among its siblings")
        if layer.name is not None:
            seen[layer.name] = place
    return layers


Layers = Annotated[
    tuple[Layer, ...], Field(strict=False, min_length=1, max_length=1000), AfterValidator(_distinct_names)
]
"""Layers one after the other; at least one."""

for _model in (Sequential, Repeat, Residual, Dense, Parallel):
    _model.model_rebuild()


def type_names(union: object) -> frozenset[str]:
    """Return the `type` of every member of a union of layers: `type_names(AnyActivation)` has "ReLU"."""
    members: tuple[type[SpecModel], ...] = get_args(union)
    return frozenset(name for member in members for name in get_args(member.model_fields["type"].annotation))


def has_batch_normalization(layers: Iterable[AnyLayer]) -> bool:
    """Say whether a batch normalisation is among the layers, those inside others included."""
    return any(
        isinstance(layer, BatchNormalization) or any(map(has_batch_normalization, inner_layers(layer)))
        for layer in layers
    )


def inner_layers(layer: AnyLayer) -> list[tuple[AnyLayer, ...]]:
    """Return the lists of layers that a layer holds: none, one, or one a branch."""
    match layer:
        case Residual():
            return [layer.layers] if layer.shortcut == "identity" else [layer.layers, layer.shortcut]
        case Parallel():
            return list(layer.branches)
        case Sequential() | Repeat() | Dense():
            return [layer.layers]
        case _:
            return []
