"""`Parallel`: several branches over the same input, joined into one output."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradclinic.contract.layers import Parallel as ParallelSpec
from gradclinic.errors import Fault
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.combinators.joining import concatenated, summed
from gradclinic.model.fits.misfit import Misfit
from gradclinic.model.network import Parallel
from gradclinic.model.place import Place
from gradclinic.model.resolution import Entry, Resolution, joined, shape_of
from gradclinic.model.sample import Sample


def _count(layer: ParallelSpec, count: CountLayers) -> int:
    return 1 + sum(count(branch) for branch in layer.branches)


def _resolve(layer: ParallelSpec, place: Place, sample: Sample, resolve: ResolveLayers) -> Resolution:
    inner = place.inner("branches")
    branches = [
        resolve(branch, Place(f"{inner.name}.{index}", f"{inner.pointer}/{index}"), sample)
        for index, branch in enumerate(layer.branches)
    ]
    known = [branch.output for branch in branches if branch.output is not None]
    output: Sample | None = None
    faults = {}
    if len(known) == len(branches):
        merged = _merged(layer, known)
        if isinstance(merged, Misfit):
            where = f"{place.pointer}/{merged.key or 'branches'}"
            faults[where] = Fault(where, f"{place.name} (Parallel): {merged.detail}.", merged.expected)
        else:
            output = merged
    own = Entry(
        layer, place, sample.shape, shape_of(output), held=math.prod(shape_of(output)), calls=len(branches), watched=1
    )
    return joined(output, (Resolution(output, {place.pointer: own}, faults), *branches))


def _merged(layer: ParallelSpec, outputs: Sequence[Sample]) -> Sample | Misfit:
    return concatenated(layer.dim, outputs) if layer.merge == "concat" else summed(outputs)


def _build(layer: ParallelSpec, part: str, sample: Sample, build: BuildLayers) -> Built:
    branches, outputs = zip(*(build(branch, sample) for branch in layer.branches), strict=True)
    merged = _merged(layer, outputs)
    if isinstance(merged, Misfit):  # the resolver would have said so before
        raise AssertionError(f"A Parallel that was found right does not fit {sample}.")  # noqa: TRY004 - no caller's fault
    return {part: Parallel(branches, layer.dim if layer.merge == "concat" else None)}, merged


PARALLEL = Combinator(_count, _resolve, _build)
