"""What passes through a network: one sample's shape, without the batch, and whether it is whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]
"""The shape of one sample, without the batch."""


@dataclass(frozen=True)
class Sample:
    """One sample somewhere in a network. `integers` says that it is tokens (int64), which an Embedding takes."""

    shape: Shape
    integers: bool = False


def shown(shape: Shape) -> str:
    """Write a shape with its batch: `[N, 64]`."""
    return f"[{', '.join(['N', *map(str, shape)])}]"
