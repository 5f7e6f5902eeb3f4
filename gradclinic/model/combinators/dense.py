"""`Dense`: blocks one after the other, what each gives concatenated to what it got."""

from __future__ import annotations

import math

from gradclinic.contract.layers import Dense as DenseSpec
from gradclinic.errors import Fault
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.combinators.joining import concatenated
from gradclinic.model.fits.misfit import Misfit
from gradclinic.model.network import Dense
from gradclinic.model.place import Place, turn_part
from gradclinic.model.resolution import Entry, Resolution, joined, shape_of
from gradclinic.model.sample import Sample


def _count(layer: DenseSpec, count: CountLayers) -> int:
    return layer.times * (1 + count(layer.layers))


def _resolve(layer: DenseSpec, place: Place, sample: Sample, resolve: ResolveLayers) -> Resolution:
    """Resolve block after block: the input of each is larger than the one before."""
    blocks: list[Resolution] = []
    faults: dict[str, Fault] = {}
    output: Sample | None = sample
    held = 0
    for turn in range(layer.times):
        if output is None:
            break
        block = resolve(layer.layers, place.turn(turn).inner("layers"), output)
        blocks.append(block)
        grown = None if block.output is None else concatenated(layer.dim, (output, block.output))
        if isinstance(grown, Misfit):
            where = f"{place.pointer}/{grown.key or 'layers'}"
            detail = f"{place.turn(turn).name} (Dense): its input and what its layers make of it, {grown.detail}."
            faults[where] = Fault(
                where, detail if not grown.key else f"{place.name} (Dense): {grown.detail}.", grown.expected
            )
            grown = None
        output = grown
        held += math.prod(shape_of(output))
    own = Entry(layer, place, sample.shape, shape_of(output), held=held, calls=layer.times, watched=layer.times)
    return joined(output, (Resolution(output, {place.pointer: own}, faults), *blocks))


def _build(layer: DenseSpec, part: str, sample: Sample, build: BuildLayers) -> Built:
    blocks: dict[str, Dense] = {}
    output = sample
    for turn in range(layer.times):
        layers, added = build(layer.layers, output)
        blocks[turn_part(part, turn)] = Dense(layers, layer.dim)
        grown = concatenated(layer.dim, (output, added))
        if isinstance(grown, Misfit):  # the resolver would have said so before
            raise AssertionError(f"A Dense that was found right does not fit {sample}.")  # noqa: TRY004 - no caller's fault
        output = grown
    return dict(blocks), output


DENSE = Combinator(_count, _resolve, _build)
