"""Small pictures made of block characters: a bar for a share, a curve for a series. Knows nothing of what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
NO_NUMBER = "!"
"""Stands in a curve for a value that is not finite."""

_NOTHING = "·"


def bar(share: float, width: int) -> str:
    """Draw a share of 1 as a bar of at most `width` characters, in eighths of one; what is not nothing is seen."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def curve(values: Sequence[float | None], width: int) -> str:
    """Draw a series as a line of blocks; `!` is a value that is not finite, `·` one that is missing.

    The lowest block is zero, or the lowest value below it, so that a small change looks small. A longer series is
    thinned to `width` by the mean of each stretch.
    """
    points = _thinned(values, width)
    finite = [value for value in points if value is not None and math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return "".join(_block(value, low, high) for value in points)


def _block(value: float | None, low: float, high: float) -> str:
    if value is None:
        return _NOTHING
    if not math.isfinite(value):
        return NO_NUMBER
    if high / 2 == low / 2:
        return _HEIGHTS[0]
    # Halves, because the distance of the two largest floats is none that a float can hold.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return _HEIGHTS[min(int(share * len(_HEIGHTS)), len(_HEIGHTS) - 1)]


def _thinned(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    edges = [place * len(values) // width for place in range(width + 1)]
    return [_mean(values[first:last]) for first, last in pairwise(edges)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(value / len(known) for value in known) if known else None
