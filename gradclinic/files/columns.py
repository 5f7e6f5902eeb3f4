"""What all tables have in common, however they are stored: named columns, one of them the target, the rest numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gradclinic.files.raw import RawData
from gradclinic.files.source import Source, near, shown
from gradclinic.files.targets import MAX_CLASSES, Targets

LARGEST_WHOLE = 2**31
"""Whole numbers below are tokens that an Embedding could take."""


def place_of_target(source: Source, names: Sequence[str], target: str) -> int:
    """Return the place of the target among the columns, once it is clear that the table can be used at all.

    Raises:
        InvalidSpec: There is no such column, or it is not clear which; or there is no other.
    """
    if target not in names:
        listed = ", ".join(map(shown, names[:20])) + (", ..." if len(names) > 20 else "")
        words = f"has no column {shown(target)}.{near(target, names)}"
        raise source.refusal(words, f"one of {listed}", key="target")
    if names.count(target) > 1:
        raise source.refusal(f"has {names.count(target)} columns {shown(target)}.", "a name of its own", key="target")
    if len(names) == 1:
        raise source.refusal(f"has the column {shown(target)} alone: there is nothing to tell it by.", "more columns")
    if "" in names:
        place = list(names).index("") + 1
        words = f"has no name for its column {place}. Where it is the number of the row, a model would learn from that."
        raise source.refusal(words, "a header that names every column; pandas writes it with index=False")
    return names.index(target)


def missing(source: Source, column: str, row: int, text: str = "", *, key: str | None = None) -> Exception:
    """Make the error that a value is missing; rows count from 1, without the header."""
    found = f" ({shown(text)})" if text.strip() else ""
    words = f"has no value{found} in row {row:,} of column {shown(column)}."
    return source.refusal(words, "a value in every row: fill what is missing, or leave the row out", key=key)


def too_many_classes(source: Source, column: str, text: str) -> Exception:
    """Make the error that the texts of the target are no classes; `text` is one of them."""
    words = f"has more than {MAX_CLASSES:,} different texts in column {shown(column)}, such as {shown(text)}."
    return source.refusal(words, f"at most {MAX_CLASSES:,} classes, or numbers alone", key="target")


def as_raw(source: Source, target: str, features: npt.NDArray[np.float64], targets: Targets) -> RawData:
    """Put features (rows, columns) and targets together.

    Raises:
        InvalidSpec: There are no rows, or fewer than two classes.
    """
    if not len(features):
        raise source.refusal("has a header and no rows.", "rows")
    if targets.classes == 1:
        name = shown((targets.names or [""])[0])
        words = f"has a single class in column {shown(target)}: {name}."
        raise source.refusal(words, "two classes or more", key="target")
    return RawData(
        features,
        targets.values,
        integers=bool((np.abs(features) < LARGEST_WHOLE).all() and (features == np.floor(features)).all()),
        classes=targets.classes,
        class_names=targets.names,
    )
