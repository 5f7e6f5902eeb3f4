"""What a column or an array of targets asks for: classes or values. The one place where that is decided.

Text makes classes, in the order of the alphabet. Whole numbers of a table make classes where they count 0, 1, ..., K - 1
and each of them occurs, for a table has no other way to say it; prices, ages and counts have gaps and stay values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_CLASSES = 10_000
"""As many as a generator may be asked for. A column of texts with more is a name or a number, not a class."""


@dataclass(frozen=True)
class Targets:
    """Class indices (rows,) with the classes' names where they had any, or values (rows, targets)."""

    values: npt.NDArray[Any]
    classes: int | None = None
    names: list[str] | None = None


def targets_of_texts(codes: npt.NDArray[np.integer[Any]], texts: list[str]) -> Targets:
    """Return the classes that texts stand for; `codes` (rows,) says which text each row has."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    index_of = np.empty(len(texts), np.int64)
    index_of[order] = np.arange(len(texts))
    return Targets(index_of[codes], len(texts), [texts[code] for code in order])


def targets_of_numbers(values: npt.NDArray[Any], *, are_whole: bool) -> Targets:
    """Return the classes or the values that the numbers (rows,) of a table stand for; `are_whole` as they are written."""
    if are_whole and values.min() == 0 and 0 < values.max() < MAX_CLASSES:
        indices = values.astype(np.int64)
        classes = int(indices.max()) + 1
        if np.bincount(indices, minlength=classes).all():
            return Targets(indices, classes)
    return Targets(as_values(values))


def as_values(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return values (rows,) or (rows, ...) as those of a regression, (rows, targets)."""
    return np.asarray(values, np.float64).reshape(len(values), -1)
