"""The blocks of a chain: a layer with weights and what follows it without changing the shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.feedforward import Identity
from gradclinic.contract.layers import Residual, Sequential
from gradclinic.contract.sequence import MultiheadAttention
from gradclinic.fixes.posted import (
    ACTIVATIONS,
    NORMALIZATIONS,
    RECURRENT,
    REGULARIZATIONS,
    WEIGHTED,
    Keys,
    Layers,
    Place,
    Posted,
    held_layers,
    output_shape,
)
from gradclinic.fixes.shapes import Known, Shape

FOLLOWING = (*ACTIVATIONS, *NORMALIZATIONS, *REGULARIZATIONS, Identity)
"""The layers that belong to the weights before them, and keep the shape."""


@dataclass(frozen=True)
class Block:
    """A layer with weights at `place`, and its followers up to `end` in the same list."""

    place: Place
    end: int
    layers: Layers

    @property
    def list_keys(self) -> Keys:
        """The keys of the list that it stands in."""
        return self.place.keys[:-1]

    @property
    def keeps_shapes(self) -> bool:
        """Whether what comes out has the shape of what came in, in every turn."""
        return keeps_shapes(self.layers, self.place.inputs)

    @property
    def shapes(self) -> tuple[Known, Known] | None:
        """The one shape that comes in and what comes out; None where there are several, or they are not known."""
        (arrived, *others) = self.place.inputs
        left = output_shape(self.layers, arrived)
        return None if others or arrived is None or left is None else (arrived, left)

    def raw(self, posted: Posted) -> list[Any]:
        """Return its layers as they were posted."""
        layers: list[Any] = posted.raw(self.list_keys)[self.place.index : self.end]
        return layers


def blocks_in(posted: Posted, layers: Layers, keys: Keys) -> Iterator[Block]:
    """Yield the hidden blocks that stand in one list, first to last; those within combinators of that list are not among them."""
    for index, layer in enumerate(layers):
        place = posted.places[*keys, index]
        if isinstance(layer, WEIGHTED) and place.role == "hidden":
            end = index + 1
            while end < len(layers) and isinstance(layers[end], FOLLOWING):
                end += 1
            yield Block(place, end, layers[index:end])


def lists_of_layers(posted: Posted) -> Iterator[tuple[Keys, Layers]]:
    """Yield every list of layers of the model that is not a shortcut, and its keys."""
    yield ("model", "layers"), posted.layers
    for place in posted.places.values():
        for keys, layers in held_layers(place.layer, place.keys):
            if "shortcut" not in keys:
                yield keys, layers


def keeps_shapes(layers: Layers, inputs: Iterable[Shape]) -> bool:
    """Whether layers give the shape that they get, for each of the inputs."""
    return all(shape is not None and output_shape(layers, shape) == shape for shape in inputs)


def transforms(layers: Layers) -> bool:
    """Whether layers have weights and are not linear: what is worth a road around it."""
    flat = list(without_groups(layers))
    by_itself = any(isinstance(layer, (*RECURRENT, MultiheadAttention)) for layer in flat)
    has_weights, has_activation = (any(isinstance(layer, types) for layer in flat) for types in (WEIGHTED, ACTIVATIONS))
    return by_itself or (has_weights and has_activation)


def without_groups(layers: Layers) -> Iterable[Any]:
    """Yield the layers, those of a `Sequential` in its place."""
    for layer in layers:
        if isinstance(layer, Sequential):
            yield from without_groups(layer.layers)
        else:
            yield layer


def has_road(layers: Layers) -> bool:
    """Whether there is a road around some of the layers already."""
    return any(
        isinstance(layer, Residual) or layer.type == "TransformerEncoderLayer" for layer in without_groups(layers)
    )
