"""`Sequential`: a group of layers, one after the other."""

from __future__ import annotations

from gradclinic.contract.layers import Sequential
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.layers import Shape
from gradclinic.model.network import Group
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution, alone, joined


def _count(layer: Sequential, count: CountLayers) -> int:
    return count(layer.layers)


def _resolve(layer: Sequential, place: Place, shape: Shape, resolve: ResolveLayers) -> Resolution:
    inner = resolve(layer.layers, place.inner("layers"), shape)
    own = Entry(layer, place, shape, inner.output or ())
    return joined(inner.output, (alone(own), inner))


def _build(layer: Sequential, part: str, shape: Shape, build: BuildLayers) -> Built:
    layers, output = build(layer.layers, shape)
    return {part: Group(layers)}, output


SEQUENTIAL = Combinator(_count, _resolve, _build)
