"""`Sequential`: a group of layers, one after the other."""

from __future__ import annotations

from gradclinic.contract.layers import Sequential
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.network import Group
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution, alone, joined, shape_of
from gradclinic.model.sample import Sample


def _count(layer: Sequential, count: CountLayers) -> int:
    return count(layer.layers)


def _resolve(layer: Sequential, place: Place, sample: Sample, resolve: ResolveLayers) -> Resolution:
    inner = resolve(layer.layers, place.inner("layers"), sample)
    own = Entry(layer, place, sample.shape, shape_of(inner.output))
    return joined(inner.output, (alone(own, inner.output), inner))


def _build(layer: Sequential, part: str, sample: Sample, build: BuildLayers) -> Built:
    layers, output = build(layer.layers, sample)
    return {part: Group(layers)}, output


SEQUENTIAL = Combinator(_count, _resolve, _build)
