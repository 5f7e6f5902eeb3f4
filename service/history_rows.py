"""A stored history as rows of all columns, some at a time: whatever its length, little of it is in memory.

Each read is a transaction of its own, so that a caller who takes its time holds no connection and no state of the
database. Chunks only ever come at the end; where one is gone, the reading ends with an error rather than with a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from gradclinic.history import CHUNK_STEPS, SignalTable
from gradclinic.history.rows import Columns, Rows, align, all_steps
from store.history_chunks import Chunk, read_chunks
from store.transactions import Store

NUMBERS_AT_ONCE = 500_000
"""Numbers that are laid side by side at once, about: 4 MB of them, and some as their text."""

Pieces = list[tuple[str, SignalTable]]


def columns_of(chunks: Sequence[Chunk], subjects: Mapping[str, Sequence[str]]) -> Columns:
    """Return the columns of these chunks; a signal with a chunk of wide numbers has wide columns."""
    wide = {chunk.signal for chunk in chunks if chunk.is_wide}
    return Columns(subjects, {(signal, subject) for signal in wide for subject in subjects.get(signal, ())})


def stream_rows(  # noqa: PLR0913 - what is read, from where and how far
    store: Store, run_id: str, chunks: Sequence[Chunk], columns: Columns, *, start: int, stop: int
) -> Iterator[Rows]:
    """Read rows with `start <= step < stop` out of the chunks, in the order of their steps.

    Raises:
        InvalidHistory: A chunk is damaged, or has columns that are not among those.
        NotFound: The run was deleted meanwhile.
    """
    wanted = columns.subjects
    pending: Pieces = []
    for group, complete in _groups(chunks, stop):
        with store.reading() as reader:
            read = read_chunks(reader, run_id, group)
        pending += [(signal, table.between(start, stop).of(wanted[signal])) for signal, table in read]
        ready = [(signal, table.between(start, complete)) for signal, table in pending]
        yield from _laid([piece for piece in ready if len(piece[1].steps)], columns)
        later = [(signal, table.between(complete, stop)) for signal, table in pending]
        pending = [piece for piece in later if len(piece[1].steps)]


def join_rows(parts: Iterable[Rows], columns: Columns) -> Rows:
    """Put rows together to one table, for who has to have all of them."""
    known = [Rows(np.empty(0, np.int64), np.empty((0, len(columns))), np.empty((0, len(columns)), np.bool_)), *parts]
    return Rows(
        np.concatenate([part.steps for part in known]),
        np.concatenate([part.values.T for part in known], axis=1).T,
        np.concatenate([part.recorded.T for part in known], axis=1).T,
    )


def _groups(chunks: Sequence[Chunk], stop: int) -> Iterator[tuple[Sequence[Chunk], int]]:
    """Cut the list of chunks into groups to be read at once; beside each the step before which nothing is left to come."""
    first = numbers = 0
    for place, chunk in enumerate(chunks):
        # Ends where the chunks of all signals do, so that one step's numbers are not torn apart for nothing.
        ends = place > first and chunk.first_step // CHUNK_STEPS > chunks[place - 1].first_step // CHUNK_STEPS
        if ends and numbers >= NUMBERS_AT_ONCE // 2:
            yield chunks[first:place], chunk.first_step // CHUNK_STEPS * CHUNK_STEPS
            first, numbers = place, 0
        numbers += chunk.rows * chunk.subjects
    if first < len(chunks):
        yield chunks[first:], stop


def _laid(pieces: Pieces, columns: Columns) -> Iterator[Rows]:
    """Lay pieces side by side, in parts that are not too large: a long piece of one signal may meet a wide one."""
    steps = all_steps(table for _, table in pieces)
    rows = max(1, 2 * NUMBERS_AT_ONCE // max(1, len(columns)))
    for first in range(0, len(steps), rows):
        part = steps[first : first + rows]
        here = [(signal, table.between(int(part[0]), int(part[-1]) + 1)) for signal, table in pieces]
        yield align(here, columns)
