"""A history as JSON: aligned columns, or minimum, maximum and mean a bucket. Nothing that was recorded is hidden.

JSON has no NaN: a value that is not finite is written as "NaN", "Infinity" or "-Infinity", one not recorded as null. The
text comes piece by piece, so that it can be on its way while the rest is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, Field

from gradclinic.errors import Fault
from gradclinic.history import column_name
from gradclinic.history.overview import Overview
from gradclinic.history.rows import Columns, Rows
from service.errors import InvalidParameter
from service.number_text import Values, shortened, write_numbers

MAX_NUMBERS = 2_000_000
"""Numbers in one JSON answer, about 20 MB; whoever wants more asks for parts, for `points`, or for Arrow or CSV."""

NUMBERS_A_BUCKET = 3
"""Minimum, maximum and mean."""

COLUMNS_AT_ONCE = 16
"""Columns that become text at once."""

PIECE_BYTES = 128 * 1024
"""Of one piece of the answer, or a little more."""

Column = list[float | str | None]
Steps = npt.NDArray[np.int64]


class Buckets(BaseModel):
    """One column in buckets. One that holds a NaN is NaN in all three; one without a record is null."""

    min: Column
    max: Column
    mean: Column


class HistoryJson(BaseModel):
    """A run's signals over its steps."""

    run: str
    start: int = Field(description="First step of the range.")
    stop: int = Field(description="End of the range, not in it; at most the number of steps stored.")
    steps: list[int] = Field(description="The steps; with `points` the first step of each bucket.")
    columns: dict[str, Column | Buckets] = Field(
        description="By `<layer or parameter>/<signal>`, or the signal alone where it is of the whole step."
    )


def write_rows(run_id: str, rows: Rows, columns: Columns, start: int, stop: int) -> Iterator[bytes]:
    """Write all steps of some columns; see `HistoryJson`."""
    values = [shortened(np.ascontiguousarray(column)) for column in rows.values.T]
    written = (
        _key(name) + _array(numbers, recorded)
        for name, numbers, recorded in zip(columns.names, values, rows.recorded.T, strict=True)
    )
    return _document(run_id, start, stop, rows.steps, written)


def write_overviews(
    run_id: str, overviews: Sequence[Overview], starts: Steps, start: int, stop: int
) -> Iterator[bytes]:
    """Write minimum, maximum and mean of each bucket; see `HistoryJson`. `starts` are the buckets' first steps."""
    return _document(run_id, start, stop, starts, (text for overview in overviews for text in _bucketed(overview)))


def refuse_too_much(rows: int, columns: int) -> None:
    """Refuse what would make too long an answer.

    Raises:
        InvalidParameter: It would, with what to do instead.
    """
    if rows * columns > MAX_NUMBERS:
        detail = f"This would be {rows:,} steps of {columns:,} columns, more than fits into one answer."
        expected = (
            f"at most {MAX_NUMBERS:,} numbers: fewer signals or layers, a range of steps, points, or format=arrow"
        )
        raise InvalidParameter([Fault("/query", detail, expected)])


def _document(run_id: str, start: int, stop: int, steps: Steps, columns: Iterable[bytes]) -> Iterator[bytes]:
    head = {"run": run_id, "start": start, "stop": stop, "steps": np.ascontiguousarray(steps)}
    piece = [orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)[:-1], b',"columns":{']
    size, separator = 0, b""
    for column in columns:
        piece += (separator, column)
        size, separator = size + len(column), b","
        if size >= PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join((*piece, b"}}"))


def _bucketed(overview: Overview) -> Iterator[bytes]:
    """Write the columns of one signal, each with its name."""
    recorded = overview.counts > 0
    names = [column_name(subject, overview.signal) for subject in overview.subjects]
    numbers = {
        name: shortened(np.ascontiguousarray(values.T))
        for name, values in (("min", overview.minimum), ("max", overview.maximum), ("mean", overview.mean))
    }
    if recorded.all() and all(np.isfinite(values).all() for values in numbers.values()):
        for first in range(0, len(names), COLUMNS_AT_ONCE):
            some = {
                name: {key: values[place] for key, values in numbers.items()}
                for place, name in enumerate(names[first : first + COLUMNS_AT_ONCE], first)
            }
            yield orjson.dumps(some, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        return
    for place, name in enumerate(names):
        members = (_key(key) + _array(values[place], recorded) for key, values in numbers.items())
        yield _key(name) + b"{" + b",".join(members) + b"}"


def _array(values: Values, recorded: npt.NDArray[np.bool_]) -> bytes:
    return b"[" + write_numbers(values, recorded, quote=b'"', missing=b"null") + b"]"


def _key(name: Any) -> bytes:
    return orjson.dumps(name) + b":"
