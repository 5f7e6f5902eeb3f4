"""The layers of a model: `torch.nn` classes by their own names and keywords, and the combinators that nest them.

Sizes that follow from the input are optional everywhere. Adding a layer is one class here, one line in `Layer`, and
where its sizes are inferred, one line in `gradclinic.model.layers`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.base import Positive, Probability, Size, SpecModel, misfit
from gradclinic.contract.initialization import Init
from gradclinic.contract.naming import LayerName


class LayerSpec(SpecModel):
    """What every layer carries."""

    name: LayerName | None = None


def _which(one: str, several: str) -> Discriminator:
    """Tell a list from a single value, so that an error speaks of the one that was meant."""
    return Discriminator(lambda value: several if isinstance(value, list | tuple) else one)


_SizeOrSizes = Annotated[
    Annotated[Size, Tag("size")]
    | Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=4), Tag("sizes")],
    _which("size", "sizes"),
]


class _Weighted(LayerSpec):
    init: Init | None = Field(None, description="Replaces the model's `init` for this layer.")
    frozen: bool = Field(False, description="Do not train this layer's parameters.")


class Linear(_Weighted):
    """y = x W^T + b."""

    type: Literal["Linear"]
    out_features: Size = Field(description="Size of the output.")
    in_features: Size | None = Field(None, description="Size of the input; follows from it.")
    bias: bool = Field(True, description="Add a learned bias.")


class Flatten(LayerSpec):
    """Join the dimensions from start_dim to end_dim into one."""

    type: Literal["Flatten"]
    start_dim: int = Field(1, description="First dimension joined; the batch is 0.")
    end_dim: int = Field(-1, description="Last dimension joined.")


class BatchNorm1d(_Weighted):
    """Normalise each feature over the batch. Ioffe & Szegedy 2015."""

    type: Literal["BatchNorm1d"]
    num_features: Size | None = Field(None, description="Number of features; follows from the input.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    momentum: Probability | None = Field(0.1, description="Of the running statistics; null averages all batches.")
    affine: bool = Field(True, description="Learn a scale and a shift.")
    track_running_stats: bool = Field(True, description="Keep running statistics for evaluation.")


class LayerNorm(_Weighted):
    """Normalise each sample over its last dimensions. Ba et al. 2016."""

    type: Literal["LayerNorm"]
    normalized_shape: _SizeOrSizes | None = Field(None, description="The dimensions normalised; by default the last.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    elementwise_affine: bool = Field(True, description="Learn a scale and a shift.")
    bias: bool = Field(True, description="Learn the shift.")


class Dropout(LayerSpec):
    """Zero each element with probability p in training. Srivastava et al. 2014."""

    type: Literal["Dropout"]
    p: Probability = Field(0.5, description="Probability of zeroing.")
    inplace: bool = Field(False, description="Overwrite the input.")


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
        _which("identity", "layers"),
    ] = Field("identity", description="What is added to f(x): the input itself, or the layers that project it.")


Combinator = Sequential | Repeat | Residual
"""The layers that hold layers."""

Normalization = BatchNorm1d | LayerNorm
"""The layers that fix the scale of what passes through them."""

AnyLayer = AnyActivation | Linear | Flatten | Normalization | Dropout | Combinator
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

for _model in (Sequential, Repeat, Residual):
    _model.model_rebuild()


def type_names(union: object) -> frozenset[str]:
    """Return the `type` of every member of a union of layers: `type_names(AnyActivation)` has "ReLU"."""
    members: tuple[type[SpecModel], ...] = get_args(union)
    return frozenset(name for member in members for name in get_args(member.model_fields["type"].annotation))
