"""Recorded numbers as text, many at once: the shortest that reads back to the same number.

A number that a float32 holds is written with as many digits as a float32 needs, for that is how it was recorded.
"""

from __future__ import annotations

import math
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[np.floating[Any]]

_NULL = b"null"
_TINY = float(np.finfo(np.float32).tiny)
"""Below it a float32 has fewer digits than 7, and what was recorded has all of a float64's; see `as_recorded`."""


def shortened(values: Values) -> Values:
    """Return the values as float32 where a float32's digits are enough for each of them, else as float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = values.astype(np.float32, copy=False)
        size = np.abs(narrow)
        fits = (size >= _TINY) | (size == 0)
        if values.dtype != np.float32:
            fits &= narrow == values
    return narrow if fits.all() or (fits | ~np.isfinite(values)).all() else values.astype(np.float64, copy=False)


def write_numbers(values: Values, recorded: Bools, *, quote: bytes = b"", missing: bytes = b"") -> bytes:
    """Write numbers (n,) with commas between them: NaN and the infinities as words, what was not recorded as `missing`.

    `quote` stands around the words. Expects values that are not finite where nothing was recorded.
    """
    text: bytes = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    odd = np.flatnonzero(~np.isfinite(values))
    if not len(odd):
        return text
    return _with_words(text, values[odd], recorded[odd], quote, missing)


def write_table(values: Values, recorded: Bools) -> list[bytes]:
    """Write each row of a table (n, columns) as `write_numbers` does; what was not recorded is empty."""
    text: bytes = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    rows = text[2:-2].split(b"],[") if len(values) else []
    odd = ~np.isfinite(values)
    for place in np.flatnonzero(odd.any(axis=1)).tolist():
        there = odd[place]
        rows[place] = _with_words(rows[place], values[place, there], recorded[place, there], b"", b"")
    return rows


def _with_words(text: bytes, odd: Values, recorded: Bools, quote: bytes, missing: bytes) -> bytes:
    """Put the words for numbers that are not finite where orjson wrote null, in their order."""
    words = [
        quote + _word(value) + quote if is_recorded else missing
        for value, is_recorded in zip(odd.tolist(), recorded.tolist(), strict=True)
    ]
    return b"".join(chain.from_iterable(zip_longest(text.split(_NULL), words, fillvalue=b"")))


def _word(value: float) -> bytes:
    if math.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"
