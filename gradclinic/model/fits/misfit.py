"""What does not fit between a layer and its input, in words, and the checks that many kinds of layers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradclinic.model.sample import Shape, shown

Keywords = dict[str, Any]


@dataclass(frozen=True)
class Misfit:
    """A layer that cannot take its input: the key to change (empty for the layer itself), why, and what would be right.

    `output` is the shape that comes out once that is mended; None where that cannot be told.
    """

    key: str
    detail: str
    expected: str
    output: Shape | None = None


def fit_size(key: str, given: int | None, fitting: int, shape: Shape) -> Keywords | Misfit:
    """Take the size that follows from the input of `shape`, unless another one was given."""
    if given in (None, fitting):
        return {key: fitting}
    return Misfit(key, f"{key} is {given}, but the input is {shown(shape)}", f"{fitting}, or no {key}")


def wrong_rank(shape: Shape, takes: str, hint: str) -> Misfit:
    """Say that the input has too few dimensions, or too many; `hint` says which layer would mend it."""
    return Misfit("", f"the input is {shown(shape)}, and this layer takes {takes}", f"an input of {takes}; {hint}")


def indivisible(key: str, given: int, number: int, what: str) -> Misfit | None:
    """Say that the number given at `key` does not divide `number`, if it does not."""
    if number % given == 0:
        return None
    return Misfit(key, f"{key} is {given}, which does not divide {what}, {number}", f"a divisor of {number}")


def place_of(key: str, dim: int, shape: Shape) -> int | Misfit:
    """Return where in `shape` the dimension `dim` stands, which counts the batch as 0; the batch itself is refused."""
    last = len(shape)
    right = f"1 to {last}, or -{last} to -1" if shape else "another layer: the input has the batch alone"
    if not -last - 1 <= dim <= last:
        detail = f"{key} is {dim}, but the input {shown(shape)} has {last + 1} dimensions, the batch included"
        return Misfit(key, detail, right)
    place = dim % (last + 1)
    if place == 0:
        return Misfit(key, f"{key} is {dim}, the batch of the input {shown(shape)}: samples would mix", right)
    return place - 1
