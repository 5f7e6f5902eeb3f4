"""The chunks that histories are kept in, one by one: what there is without reading it, and then some of them at a time.

For whoever passes a history on and never has the whole of it. `store.histories` reads one as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, LargeBinary, Row, func, select, tuple_

from gradclinic.errors import NotFound
from gradclinic.history import HEADER_BYTES, SignalTable, decode_table, peek_table
from gradclinic.history.codec import decode_subjects
from store.histories import LAST_STEP
from store.tables import history_chunks
from store.texts import refuse_unstorable
from store.transactions import Reader

KEYS_AT_ONCE = 1000
"""Chunks that one statement asks for by their names: SQLite takes some thirty thousand values, and each has two."""

_chunks = history_chunks.c
_WIDTH_AT = 1
"""Where the header of a packed table holds the bytes a value."""


@dataclass(frozen=True)
class Chunk:
    """What is known of a chunk without unpacking it."""

    signal: str
    first_step: int
    last_step: int
    rows: int
    subjects: int
    is_wide: bool
    """Whether some of its numbers need a float64."""

    def rows_between(self, start: int, stop: int) -> int:
        """Return at least how many of its rows have `start <= step < stop`: all, if each step were recorded."""
        outside = max(start - self.first_step, 0) + max(self.last_step + 1 - stop, 0)
        return max(self.rows - outside, 0)


def list_chunks(reader: Reader, run_id: str, *, signals: Collection[str] | None, start: int, stop: int) -> list[Chunk]:
    """List the chunks that hold some of `start <= step < stop`, by their first step.

    Raises:
        InvalidSpec: A signal's name holds a character that no database can.
    """
    refuse_unstorable({"/signals": signals or ()})
    # Both ends inside, and both within what the columns can hold.
    inside = (_chunks.last_step >= min(start, LAST_STEP), _chunks.first_step <= min(stop - 1, LAST_STEP))
    return _heads(reader, _of(run_id, signals, *inside)) if start < stop else []


def first_chunks(reader: Reader, run_id: str, signals: Collection[str] | None) -> list[Chunk]:
    """Return the first chunk of each signal of which anything is stored.

    Raises:
        InvalidSpec: A signal's name holds a character that no database can.
    """
    refuse_unstorable({"/signals": signals or ()})
    return _one_a_signal(reader, run_id, signals, func.min(_chunks.first_step))


def last_chunks(reader: Reader, run_id: str) -> list[Chunk]:
    """Return the last chunk of each signal of which anything is stored."""
    return _one_a_signal(reader, run_id, None, func.max(_chunks.first_step))


def read_chunks(reader: Reader, run_id: str, chunks: Sequence[Chunk]) -> list[tuple[str, SignalTable]]:
    """Unpack chunks: signal and table of each, by their first step.

    Raises:
        NotFound: One of them is gone: the run was deleted or began anew.
    """
    rows = list(_payloads(reader, run_id, chunks))
    if len(rows) != len(chunks):
        raise NotFound("run", run_id)
    return [(row.signal, decode_table(row.payload)) for row in rows]


def read_subjects(reader: Reader, run_id: str, chunks: Sequence[Chunk]) -> dict[str, tuple[str, ...]]:
    """Return the layers and parameters in each chunk, by its signal."""
    return {row.signal: decode_subjects(row.payload) for row in _payloads(reader, run_id, chunks)}


def _payloads(reader: Reader, run_id: str, chunks: Sequence[Chunk]) -> Iterator[Row[str, bytes]]:
    query = select(_chunks.signal, _chunks.payload).order_by(_chunks.first_step, _chunks.signal)
    for first in range(0, len(chunks), KEYS_AT_ONCE):
        keys = [(chunk.signal, chunk.first_step) for chunk in chunks[first : first + KEYS_AT_ONCE]]
        yield from reader.connection.execute(query.where(*_named(run_id, keys)))


def _one_a_signal(
    reader: Reader, run_id: str, signals: Collection[str] | None, step: ColumnElement[int]
) -> list[Chunk]:
    query = select(_chunks.signal, step).where(*_of(run_id, signals)).group_by(_chunks.signal)
    keys = [(signal, first_step) for signal, first_step in reader.connection.execute(query)]
    return _heads(reader, _named(run_id, keys))


def _named(run_id: str, keys: Sequence[tuple[str, int]]) -> list[ColumnElement[bool]]:
    named = [_chunks.run_id == run_id, tuple_(_chunks.signal, _chunks.first_step).in_(keys)]
    if keys:  # no index finds pairs among a run's many chunks: it finds the signals, and of each a range of steps
        steps = [step for _, step in keys]
        signals = sorted({signal for signal, _ in keys})
        named += [_chunks.signal.in_(signals), _chunks.first_step.between(min(steps), max(steps))]
    return named


def _of(run_id: str, signals: Collection[str] | None, *further: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    conditions = [_chunks.run_id == run_id, *further]
    return conditions if signals is None else [*conditions, _chunks.signal.in_(signals)]


def _heads(reader: Reader, conditions: Sequence[ColumnElement[bool]]) -> list[Chunk]:
    header = func.substr(_chunks.payload, 1, HEADER_BYTES, type_=LargeBinary).label("header")
    query = select(_chunks.signal, _chunks.first_step, _chunks.last_step, header).where(*conditions)
    return [
        Chunk(row.signal, row.first_step, row.last_step, *peek_table(row.header), row.header[_WIDTH_AT] == 8)
        for row in reader.connection.execute(query.order_by(_chunks.first_step, _chunks.signal))
    ]
