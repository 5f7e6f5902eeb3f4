"""Where a layer stands: its name in the network and its JSON pointer in the posted spec."""

from __future__ import annotations

from dataclasses import dataclass

from gradclinic.contract.layers import AnyLayer
from gradclinic.contract.spec import GraphModel, Model
from gradclinic.graph import ARTIFACT


def name_part(index: int, layer: AnyLayer) -> str:
    """Return the last part of a layer's name: its own, or its place among its siblings."""
    return layer.name or str(index)


def turn_part(part: str, turn: int) -> str:
    """Return the last part of the name of one turn of a repeated layer."""
    return f"{part}[{turn}]"


@dataclass(frozen=True)
class Place:
    """A layer's `name` with the turns of its repetitions (`layers.2[7].layers.0`), and its `pointer` without."""

    name: str
    pointer: str

    def layer(self, index: int, layer: AnyLayer) -> Place:
        """Return the place of one layer of the list that stands here."""
        return Place(f"{self.name}.{name_part(index, layer)}", f"{self.pointer}/{index}")

    def inner(self, key: str) -> Place:
        """Return the place of the list of layers that the layer here holds at `key`."""
        return Place(f"{self.name}.{key}", f"{self.pointer}/{key}")

    def turn(self, number: int) -> Place:
        """Return the place of one turn of the layer here."""
        return Place(turn_part(self.name, number), self.pointer)


MODEL = Place("layers", "/model/layers")
"""The list of a model's layers."""


def model_pointer(model: Model | GraphModel) -> str:
    """Return the pointer of what the whole model is made of."""
    return ARTIFACT if isinstance(model, GraphModel) else MODEL.pointer
