"""A history as JSON: aligned columns, or minimum, maximum and mean a bucket. Nothing that was recorded is hidden.

JSON has no NaN: a value that is not finite is written as "NaN", "Infinity" or "-Infinity", one not recorded as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from gradclinic.errors import Fault
from gradclinic.history import History, SignalTable, column_name
from service.errors import InvalidParameter

MAX_NUMBERS = 2_000_000
"""Numbers in one answer, about 40 MB of JSON; whoever wants more asks for parts, or for `points`."""

NUMBERS_A_BUCKET = 3
"""Minimum, maximum and mean."""

Column = list[float | str | None]
Floats = npt.NDArray[np.float64]
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


def write_history(run_id: str, parts: Iterable[History], start: int, stop: int, points: int | None) -> str:
    """Write the contract's JSON form of a history that holds only `start <= step < stop`; see `HistoryJson`.

    It comes in parts with different signals. Column after column becomes text, and with `points` part after part, so
    that what lies in memory is little more than the answer.

    Raises:
        InvalidParameter: There is too much of it for one answer.
    """
    write: Callable[[Steps, Steps, Floats], Column | dict[str, Column]]
    if points is None:
        parts = list(parts)
        steps, write = _all_steps(parts), _aligned
        refuse_too_much(len(steps), sum(len(table.subjects) for part in parts for table in part.tables.values()))
    else:
        steps, write = bucket_starts(start, stop, points), _bucketed
    columns = (
        f"{_json(column_name(subject, signal))}:{_json(write(steps, table.steps, table.values[:, place]))}"
        for part in parts
        for signal, table, place, subject in _columns(part)
    )
    head = _json({"run": run_id, "start": start, "stop": stop, "steps": steps.tolist()})
    return f'{head[:-1]},"columns":{{{",".join(columns)}}}}}'


def refuse_too_much(rows: int, columns: int) -> None:
    """Refuse what would make too long an answer.

    Raises:
        InvalidParameter: It would, with what to do instead.
    """
    if rows * columns > MAX_NUMBERS:
        detail = f"This would be {rows:,} steps of {columns:,} columns, more than fits into one answer."
        expected = f"at most {MAX_NUMBERS:,} numbers: fewer signals or layers, a range of steps, or points"
        raise InvalidParameter([Fault("/query", detail, expected)])


def bucket_starts(start: int, stop: int, points: int) -> Steps:
    """Return the first step of each of at most `points` buckets, as even as whole steps allow."""
    count = min(points, max(stop - start, 0))
    return np.array([start + place * (stop - start) // count for place in range(count)], np.int64)


def _columns(history: History) -> Iterator[tuple[str, SignalTable, int, str]]:
    for signal, table in history.tables.items():
        for place, subject in enumerate(table.subjects):
            yield signal, table, place, subject


def _all_steps(parts: Iterable[History]) -> Steps:
    pieces = [table.steps for part in parts for table in part.tables.values()]
    return np.unique(np.concatenate(pieces)) if pieces else np.empty(0, np.int64)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _aligned(steps: Steps, recorded: Steps, values: Floats) -> Column:
    column: Column = [None] * len(steps)
    for place, value in zip(np.searchsorted(steps, recorded).tolist(), values.tolist(), strict=True):
        column[place] = written(value)
    return column


def _bucketed(starts: Steps, recorded: Steps, values: Floats) -> dict[str, Column]:
    """Return minimum, maximum and mean a bucket; one that holds a NaN is NaN in all three."""
    bucket = np.searchsorted(starts, recorded, side="right") - 1
    filled, first, counts = np.unique(bucket, return_index=True, return_counts=True)
    rows: dict[str, Column] = {name: [None] * len(starts) for name in ("min", "max", "mean")}
    if not len(filled):
        return rows
    with np.errstate(invalid="ignore", over="ignore"):  # infinities and NaN are results here
        # Divided before it is summed: the mean of numbers near the largest float is none that overflows.
        shares = values / np.repeat(counts, counts)
        found = {
            "min": np.minimum.reduceat(values, first),
            "max": np.maximum.reduceat(values, first),
            "mean": np.add.reduceat(shares, first),
        }
    for name, numbers in found.items():
        for place, value in zip(filled.tolist(), numbers.tolist(), strict=True):
            rows[name][place] = written(value)
    return rows


def written(value: float) -> float | str:
    """Write one recorded number the way JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
