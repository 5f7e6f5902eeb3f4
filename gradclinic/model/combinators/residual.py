"""`Residual`: x + f(x), or shortcut(x) + f(x), of equal shapes and never broadcast."""

from __future__ import annotations

import math

from gradclinic.contract.layers import Residual as ResidualSpec
from gradclinic.errors import Fault
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.layers import Shape, shown
from gradclinic.model.network import Residual
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution, joined


def _count(layer: ResidualSpec, count: CountLayers) -> int:
    return 1 + count(layer.layers) + (count(layer.shortcut) if layer.shortcut != "identity" else 0)


def _resolve(layer: ResidualSpec, place: Place, shape: Shape, resolve: ResolveLayers) -> Resolution:
    inner = resolve(layer.layers, place.inner("layers"), shape)
    carried = (
        Resolution(shape) if layer.shortcut == "identity" else resolve(layer.shortcut, place.inner("shortcut"), shape)
    )
    # Where a fault hides one of the two shapes, the other one is what a right sum would have.
    output = inner.output if inner.output is not None else carried.output
    elements = math.prod(output or ())
    own = Entry(layer, place, shape, output or (), elements=elements, watched=1)
    faults = {}
    if inner.output is not None and carried.output is not None and inner.output != carried.output:
        fault = _misfit(layer, place, inner.output, carried.output)
        faults[fault.pointer] = fault
    return joined(output, (Resolution(output, {place.pointer: own}, faults), inner, carried))


def _misfit(layer: ResidualSpec, place: Place, inner: Shape, carried: Shape) -> Fault:
    where = f"{place.pointer}/shortcut"
    if layer.shortcut == "identity":
        detail = (
            f"{place.name} (Residual): its layers turn {shown(carried)} into {shown(inner)}, and the two cannot be "
            f"added under an identity shortcut. A projection is needed."
        )
        return Fault(where, detail, f"a list of layers that turn {shown(carried)} into {shown(inner)}")
    detail = f"{place.name} (Residual): the shortcut gives {shown(carried)}, and the layers beside it {shown(inner)}."
    return Fault(where, detail, f"layers that end with {shown(inner)}")


def _build(layer: ResidualSpec, part: str, shape: Shape, build: BuildLayers) -> Built:
    layers, output = build(layer.layers, shape)
    shortcut = None if layer.shortcut == "identity" else build(layer.shortcut, shape)[0]
    return {part: Residual(layers, shortcut)}, output


RESIDUAL = Combinator(_count, _resolve, _build)
