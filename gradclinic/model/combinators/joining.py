"""Joining several outputs into one, as combinators do: along a dimension, or as a sum. Nothing is ever broadcast."""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.model.fits.misfit import Misfit, place_of
from gradclinic.model.sample import Sample, shown


def concatenated(dim: int, parts: Sequence[Sample]) -> Sample | Misfit:
    """Return what the parts are along `dim`, which counts the batch as 0; the misfit's `key` is `dim`, or empty."""
    first = parts[0]
    place = place_of("dim", dim, first.shape)
    if isinstance(place, Misfit):
        return place
    for part in parts:
        if part.integers != first.integers:
            return _two_kinds(first, part)
        if len(part.shape) != len(first.shape) or any(
            one != other for at, (one, other) in enumerate(zip(first.shape, part.shape, strict=True)) if at != place
        ):
            detail = f"{shown(first.shape)} and {shown(part.shape)} cannot be concatenated along dimension {dim}"
            return Misfit("", detail, f"shapes that differ in dimension {dim} alone")
    total = sum(part.shape[place] for part in parts)
    return Sample((*first.shape[:place], total, *first.shape[place + 1 :]), first.integers)


def summed(parts: Sequence[Sample]) -> Sample | Misfit:
    """Return what the sum of the parts is, which have to be alike."""
    first = parts[0]
    for part in parts:
        if part.integers != first.integers:
            return _two_kinds(first, part)
        if part.shape != first.shape:
            detail = f"{shown(first.shape)} and {shown(part.shape)} cannot be added"
            return Misfit("", detail, f"layers that end with {shown(first.shape)}")
    return first


def _two_kinds(one: Sample, other: Sample) -> Misfit:
    detail = f"tokens and numbers cannot be joined: {shown(one.shape)} and {shown(other.shape)}"
    return Misfit("", detail, "an Embedding on every way, or before all of them")
