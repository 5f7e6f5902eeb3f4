"""Minimum, maximum and mean of a history over cells of steps: made, merged, and packed. Knows no database.

A cell holds the rows of 32 steps; at every further level it holds four times as many. Cells begin at multiples of their
size, whatever the chunks are in which a history arrives, so that cells of one level merge into those of the next, and
an overview of any range is put together from few of them, exactly.

    byte 0       format version, 1
    byte 1       4 or 8: bytes a value
    bytes 2..9   number of cells, number of subjects: two little-endian uint32
    bytes 10..17 fingerprint of the subjects, whose names stand in the chunks
    the rest     one zstandard frame: starts (int64, differences), counts (uint32), and of each cell minimum, maximum
                 and mean, side by side; packed as in `codec.py`
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gradclinic.errors import InvalidHistory
from gradclinic.history.codec import (
    MAX_DECODED,
    Values,
    as_recorded,
    differ,
    fold,
    names_of,
    narrow,
    shuffle,
    undiffer,
    unfold,
    unshuffle,
)
from gradclinic.history.history import SignalTable

CELL_STEPS = 32
"""Steps of a cell at level 0."""

LEVEL_FACTOR = 4
"""How many cells of a level one of the next holds: three numbers a cell come to 1/8 of the history over all levels."""

STORED_BYTES = 3.5
"""Bytes that a recorded number takes in the database, cells and the database's own included. Measured on a noisy walk of 200
layers x 2,000 steps x 8 signals: 3.36 in SQLite, 3.47 in PostgreSQL. A number that needs a float64 takes twice as much;
signals that hardly change, as of a training that is stuck, a third less.
"""

VERSION = 1

_HEADER = struct.Struct("<BBII8s")
OVERVIEW_HEADER_BYTES = _HEADER.size
"""The bytes that `peek_fingerprint` needs."""


@dataclass(frozen=True)
class Cells:
    """What became of the rows of some cells, in the order of their steps.

    Shapes: starts (c,) int64, the first step that belongs to each cell; counts (c,) int64, the rows in it; minimum,
    maximum and mean (c, subjects), float32 where that loses nothing. A NaN in a cell makes all three NaN.
    """

    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    minimum: Values
    maximum: Values
    mean: Values

    @staticmethod
    def empty(subjects: int) -> Cells:
        """Return no cells, of so many subjects."""
        none = np.zeros((0, subjects), np.float32)
        return Cells(np.zeros(0, np.int64), np.zeros(0, np.int64), none, none, none)

    def between(self, start: int, stop: int) -> Cells:
        """Return the cells that begin at or after `start` and before `stop`."""
        first, last = np.searchsorted(self.starts, [start, stop])
        part = slice(int(first), int(last))
        return Cells(self.starts[part], self.counts[part], self.minimum[part], self.maximum[part], self.mean[part])

    def of(self, columns: Sequence[int]) -> Cells:
        """Return the cells of the subjects at these places alone."""
        kept = list(columns)
        return replace(self, minimum=self.minimum[:, kept], maximum=self.maximum[:, kept], mean=self.mean[:, kept])


@dataclass(frozen=True)
class Grid:
    """Buckets of `width` steps from `start` to before `stop`; all begin at multiples of it but the first."""

    start: int
    stop: int
    width: int

    @property
    def first(self) -> int:
        """The number of the first bucket, counted from step 0."""
        return self.start // self.width

    @property
    def level(self) -> int | None:
        """The highest level whose cells fill a bucket without rest; None where only rows do."""
        level = -1
        while self.width % cell_steps(level + 1) == 0:
            level += 1
        return None if level < 0 else level

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first step of each bucket."""
        starts = np.arange(self.first, -(-self.stop // self.width), dtype=np.int64) * self.width
        starts[:1] = self.start
        return starts


@dataclass(frozen=True)
class Overview:
    """One signal, bucket by bucket.

    Shapes: starts (b,) int64, the first step of each bucket; counts (b,) int64, the rows in it, 0 where nothing was
    recorded; minimum, maximum and mean (b, len(subjects)), float32 where that loses nothing, else float64. They are NaN
    where nothing was recorded, and where a NaN was.
    """

    signal: str
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    subjects: tuple[str, ...]
    minimum: Values
    maximum: Values
    mean: Values


def cell_steps(level: int) -> int:
    """Return the steps of a cell at a level."""
    steps: int = CELL_STEPS * LEVEL_FACTOR**level
    return steps


def level_of(steps: float) -> int | None:
    """Return the highest level whose cells are not longer than so many steps; None where only rows are short enough."""
    level = -1
    while cell_steps(level + 1) <= steps:
        level += 1
    return None if level < 0 else level


def make_grid(start: int, stop: int, points: int) -> Grid:
    """Cut `start <= step < stop` into at most `points` buckets, as long as the cells of one level or a multiple of that."""
    level = level_of((stop - start) / points)
    cell = 1 if level is None else cell_steps(level)
    width = cell * max(math.ceil((stop - start) / points / cell), 1)
    while -(-stop // width) - start // width > points:
        width += cell
    return Grid(start, stop, width)


def make_cells(table: SignalTable, width: int) -> Cells:
    """Sum up a table in cells of `width` steps."""
    first = _first_of_each(table.steps // width)
    counts = np.diff(first, append=len(table.steps))
    starts = table.steps[first] // width * width
    values = table.values
    if len(first) == len(table.steps):
        return Cells(starts, counts, values, values, values)
    with np.errstate(over="ignore", invalid="ignore"):
        lowest, highest = _fold(np.minimum, values, first, counts), _fold(np.maximum, values, first, counts)
        mean = _fold(np.add, values, first, counts) / counts[:, None]
        if not np.isfinite(mean).all():  # the sum may have left the range of float64 where the mean does not
            shares = values / np.repeat(counts, counts)[:, None]
            mean = np.where(np.isfinite(mean), mean, _fold(np.add, shares, first, counts))
    return Cells(starts, counts, lowest, highest, _within(mean, lowest, highest))


def merge_cells(parts: Sequence[Cells], width: int) -> Cells:
    """Merge cells of one history, given in the order of their steps, into cells of `width` steps: a multiple of theirs.

    Cells that a chunk's end has cut become one again. Minimum and maximum are exact, means to rounding.
    """
    merged = [_merge(part, width) for part in parts if len(part.starts)]
    if len(merged) <= 1:
        return merged[0] if merged else parts[0]
    joined = Cells(
        np.concatenate([part.starts for part in merged]),
        np.concatenate([part.counts for part in merged]),
        *(np.concatenate([getattr(part, name) for part in merged]) for name in ("minimum", "maximum", "mean")),
    )
    return _merge(joined, width)


def lay_out(signal: str, subjects: tuple[str, ...], cells: Cells, grid: Grid) -> Overview:
    """Lay the cells of a grid's width out on it, with gaps where nothing was recorded."""
    starts = grid.starts
    places = cells.starts // grid.width - grid.first
    counts = np.zeros(len(starts), np.int64)
    counts[places] = cells.counts
    columns = [narrow(cells.minimum), narrow(cells.maximum), _rounded(cells.mean)]
    if len(places) < len(starts):
        columns = [_spread(values, places, len(starts)) for values in columns]
    return Overview(signal, starts, counts, subjects, *columns)


@lru_cache(maxsize=64)
def fingerprint(subjects: tuple[str, ...]) -> bytes:
    """Return what tells the subjects of one history from those of another."""
    return hashlib.blake2b(names_of(subjects), digest_size=8).digest()


def encode_cells(cells: Cells, subjects: bytes) -> bytes:
    """Pack cells; `subjects` is the fingerprint of their subjects. A mean is rounded to a float32 where that is normal."""
    # One table is packed faster, and smaller, than three.
    values = np.concatenate([narrow(cells.minimum), narrow(cells.maximum), _rounded(cells.mean)], axis=1)
    starts = np.diff(cells.starts, prepend=np.int64(0)).astype("<i8")
    header = _HEADER.pack(VERSION, values.dtype.itemsize, len(cells.starts), cells.minimum.shape[1], subjects)
    return header + fold([shuffle(starts), shuffle(cells.counts.astype("<u4")), shuffle(differ(values))])


def decode_cells(packed: bytes) -> Cells:
    """Unpack cells.

    Raises:
        InvalidHistory: These bytes were not made by `encode_cells`, or were cut.
    """
    peek_fingerprint(packed)
    _, width, n_cells, n_subjects, _ = _HEADER.unpack_from(packed)
    counts_start, values_start = 8 * n_cells, 12 * n_cells
    expected = values_start + 3 * width * n_cells * n_subjects
    if width not in (4, 8) or expected > MAX_DECODED:
        raise InvalidHistory("A packed overview cannot be read: its sizes are impossible.")
    body = memoryview(unfold(memoryview(packed)[OVERVIEW_HEADER_BYTES:], MAX_DECODED))
    if len(body) != expected:
        raise InvalidHistory(f"A packed overview holds {len(body)} bytes; expected {expected}.")
    starts = np.cumsum(unshuffle(body[:counts_start], np.dtype("<i8")))
    if np.any(np.diff(starts, prepend=0) < 0):
        raise InvalidHistory("A packed overview cannot be read: its steps do not ascend.")
    counts = unshuffle(body[counts_start:values_start], np.dtype("<u4")).astype(np.int64)
    columns = undiffer(unshuffle(body[values_start:], np.dtype(f"<u{width}")).reshape(n_cells, 3 * n_subjects))
    return Cells(starts, counts, *(columns[:, place * n_subjects : (place + 1) * n_subjects] for place in range(3)))


def peek_fingerprint(packed: bytes) -> bytes:
    """Return the fingerprint of packed cells' subjects, from the first `OVERVIEW_HEADER_BYTES` alone.

    Raises:
        InvalidHistory: These bytes were not made by `encode_cells`.
    """
    if len(packed) < OVERVIEW_HEADER_BYTES or packed[0] != VERSION:
        raise InvalidHistory("These bytes do not begin as a packed overview does.")
    found: bytes = _HEADER.unpack_from(packed)[-1]
    return found


def _merge(cells: Cells, width: int) -> Cells:
    places = cells.starts // width
    first = _first_of_each(places)
    if len(first) == len(places):
        return replace(cells, starts=places * width)
    counts = np.add.reduceat(cells.counts, first)
    # Shares that add up to 1 rather than a sum to be divided: it might leave the range of float64.
    lengths = np.diff(first, append=len(places))
    shares = cells.counts / np.repeat(counts, lengths)
    with np.errstate(over="ignore", invalid="ignore"):
        lowest = _fold(np.minimum, cells.minimum, first, lengths)
        highest = _fold(np.maximum, cells.maximum, first, lengths)
        mean = _fold(np.add, cells.mean.astype(np.float64) * shares[:, None], first, lengths)
    return Cells(places[first] * width, counts, lowest, highest, _within(mean, lowest, highest))


def _fold(ufunc: np.ufunc, values: Values, first: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]) -> Values:
    """Return `ufunc.reduceat(values, first, axis=0)`: what `ufunc` makes of each group of rows, `first` and how many.

    Where all groups but the outer two are of one length, as they mostly are, whole rows are taken at once: many times as
    fast as `reduceat`, which goes down column by column.
    """
    length = int(lengths[len(lengths) // 2])
    if np.any(lengths[1:-1] != length):
        folded: Values = ufunc.reduceat(values, first, axis=0)
        return folded
    start = 0 if lengths[0] == length else int(first[1])
    stop = len(values) if lengths[-1] == length else int(first[-1])
    middle: Values = ufunc.reduce(values[start:stop].reshape(-1, length, values.shape[1]), axis=1)
    ends = [
        ufunc.reduce(part, axis=0, keepdims=True) if len(part) else part for part in (values[:start], values[stop:])
    ]
    return np.concatenate([ends[0], middle, ends[1]]) if start or stop < len(values) else middle


def _first_of_each(places: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return where each run of one number begins."""
    return np.concatenate([np.arange(min(len(places), 1)), np.flatnonzero(places[1:] != places[:-1]) + 1])


def _within(mean: Values, lowest: Values, highest: Values) -> Values:
    """Return the means, none of which rounding has put beyond what they are means of."""
    within: Values = np.minimum(np.maximum(mean, lowest), highest)
    return within


def _rounded(values: Values) -> Values:
    return values if values.dtype == np.float32 else narrow(as_recorded(values.astype(np.float64, copy=False)))


def _spread(values: Values, places: npt.NDArray[np.int64], length: int) -> Values:
    wide = np.full((length, values.shape[1]), np.nan, values.dtype)
    wide[places] = values
    return wide
