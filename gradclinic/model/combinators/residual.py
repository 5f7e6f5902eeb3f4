"""`Residual`: x + f(x), or shortcut(x) + f(x), of equal shapes and never broadcast."""

from __future__ import annotations

import math

from gradclinic.contract.layers import Residual as ResidualSpec
from gradclinic.errors import Fault
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.combinators.joining import summed
from gradclinic.model.fits.misfit import Misfit
from gradclinic.model.network import Residual
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution, joined, shape_of
from gradclinic.model.sample import Sample, shown


def _count(layer: ResidualSpec, count: CountLayers) -> int:
    return 1 + count(layer.layers) + (count(layer.shortcut) if layer.shortcut != "identity" else 0)


def _resolve(layer: ResidualSpec, place: Place, sample: Sample, resolve: ResolveLayers) -> Resolution:
    inner = resolve(layer.layers, place.inner("layers"), sample)
    carried = (
        Resolution(sample) if layer.shortcut == "identity" else resolve(layer.shortcut, place.inner("shortcut"), sample)
    )
    # Where a fault hides one of the two shapes, the other one is what a right sum would have.
    output = inner.output if inner.output is not None else carried.output
    numbers = math.prod(shape_of(output))
    own = Entry(layer, place, sample.shape, shape_of(output), held=numbers, calls=1, watched=1)
    faults = {}
    if inner.output is not None and carried.output is not None:
        misfit = summed((inner.output, carried.output))
        if isinstance(misfit, Misfit):
            fault = _fault(layer, place, inner.output, carried.output, misfit)
            faults[fault.pointer] = fault
    return joined(output, (Resolution(output, {place.pointer: own}, faults), inner, carried))


def _fault(layer: ResidualSpec, place: Place, inner: Sample, carried: Sample, misfit: Misfit) -> Fault:
    where = f"{place.pointer}/shortcut"
    if inner.shape == carried.shape:
        return Fault(where, f"{place.name} (Residual): {misfit.detail}.", misfit.expected)
    ends, begins = shown(inner.shape), shown(carried.shape)
    if layer.shortcut == "identity":
        detail = (
            f"{place.name} (Residual): its layers turn {begins} into {ends}, and the two cannot be "
            f"added under an identity shortcut. A projection is needed."
        )
        return Fault(where, detail, f"a list of layers that turn {begins} into {ends}")
    detail = f"{place.name} (Residual): the shortcut gives {begins}, and the layers beside it {ends}."
    return Fault(where, detail, f"layers that end with {ends}")


def _build(layer: ResidualSpec, part: str, sample: Sample, build: BuildLayers) -> Built:
    layers, output = build(layer.layers, sample)
    shortcut = None if layer.shortcut == "identity" else build(layer.shortcut, sample)[0]
    return {part: Residual(layers, shortcut)}, output


RESIDUAL = Combinator(_count, _resolve, _build)
