"""Writing many layer names in little room. Knows the names alone, not the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BRACKET = re.compile(r"\[([^\]]*)\]")

SHOWN = 4
"""Names that are listed; of more, the first and the last one are."""


def abbreviate_layers(layers: Sequence[str]) -> str:
    """Write layer names short: turns of a `Repeat` that follow each other as a range, and of many only the ends.

    >>> abbreviate_layers(["layers.0", "layers.2[0].layers.0", "layers.2[1].layers.0", "layers.2[2].layers.0"])
    'layers.0, layers.2[0..2].layers.0 (4 layers)'
    """
    folded = list(layers)
    for place in reversed(range(max((len(_BRACKET.findall(name)) for name in layers), default=0))):
        folded = _fold(folded, place)
    listed = ", ".join(folded) if len(folded) <= SHOWN else f"{layers[0]} ... {layers[-1]}"
    return listed if len(layers) == len(folded) <= SHOWN else f"{listed} ({len(layers)} layers)"


def _fold(names: Sequence[str], place: int) -> list[str]:
    """Join names that differ in their bracket number `place` alone into one with ranges, in the order they came."""
    turns: dict[tuple[str, str], list[int]] = {}
    for name in names:
        brackets = list(_BRACKET.finditer(name))
        bracket = brackets[place] if place < len(brackets) else None
        if bracket is None or not bracket[1].isdigit():
            turns[(name, "")] = []
        else:
            turns.setdefault((name[: bracket.start()], name[bracket.end() :]), []).append(int(bracket[1]))
    return [f"{start}[{_ranges(numbers)}]{end}" if numbers else start for (start, end), numbers in turns.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as ranges: 0, 1, 2, 5 as `0..2,5`."""
    pieces: list[tuple[int, int]] = []
    for turn in sorted(numbers):
        if pieces and turn == pieces[-1][1] + 1:
            pieces[-1] = (pieces[-1][0], turn)
        else:
            pieces.append((turn, turn))
    return ",".join(f"{first}" if first == last else f"{first}..{last}" for first, last in pieces)
