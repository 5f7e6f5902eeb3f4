"""The pyramid beside a history's chunks: cells of every level, kept as they become complete, and overviews out of them.

A piece of level 0 is written with each chunk. A block of 16 cells of a higher level is made from the pieces of the level
below as soon as the run has passed its end. So a range of steps is covered by few pieces: whole cells of one level,
and those of the levels below, and single rows, only at its ends and where the run has just arrived.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, select

from gradclinic.errors import InvalidHistory, NotFound
from gradclinic.history import SignalTable, decode_table
from gradclinic.history.codec import decode_subjects
from gradclinic.history.overview import (
    Cells,
    Grid,
    Overview,
    cell_steps,
    decode_cells,
    encode_cells,
    fingerprint,
    lay_out,
    make_cells,
    make_grid,
    merge_cells,
    peek_fingerprint,
)
from store.ids import is_id
from store.tables import history_chunks, history_overviews, runs
from store.texts import refuse_unstorable
from store.transactions import Reader, Writer

BLOCK_CELLS = 16
"""Cells of one piece above level 0: the more, the fewer pieces an overview reads, and the longer the piece at its end is
still missing.
"""

RAW = -1
"""The level below the lowest: the rows themselves."""

CHUNKS_AT_ONCE = 16
"""Chunks that are fetched together where a range is read from them."""

_chunks = history_chunks.c
_pieces = history_overviews.c


def add_cells(writer: Writer, run_id: str, tables: Mapping[str, SignalTable], before: int) -> None:
    """Add the cells of rows that were just added to a run which had `before` steps until then.

    Raises:
        InvalidHistory: A signal has other subjects than before.
    """
    rows = []
    for signal, table in tables.items():
        payload = encode_cells(make_cells(table, cell_steps(0)), fingerprint(table.subjects))
        rows.append(_Series(run_id, signal).row(0, int(table.steps[0]), int(table.steps[-1]), payload))
    writer.connection.execute(insert(history_overviews), rows)
    done = max(before, *(int(table.steps[-1]) + 1 for table in tables.values()))
    late = {signal: int(table.steps[0]) for signal, table in tables.items() if table.steps[0] < before}
    if _block(1, done) > _block(1, before):
        for signal in signals_of(writer, run_id):
            if signal not in late:
                _add_blocks(writer, _Series(run_id, signal), before, done, {})
    for signal, first in late.items():
        series = _Series(run_id, signal)
        _add_blocks(writer, series, first, done, _drop_blocks(writer, series, first))


def signals_of(reader: Reader, run_id: str) -> list[str]:
    """Return the signals of which anything is stored of a run, in the order of their names."""
    # From name to name by the index: DISTINCT would go through every entry, as many as the run has chunks.
    mine = _chunks.run_id == run_id
    names = select(func.min(_chunks.signal).label("signal")).where(mine).cte("names", recursive=True)
    following = select(func.min(_chunks.signal)).where(mine, _chunks.signal > names.c.signal).scalar_subquery()
    names = names.union_all(select(following).where(names.c.signal.is_not(None)))
    found = reader.connection.execute(select(names.c.signal).where(names.c.signal.is_not(None)))
    return list(found.scalars())


def read_overviews(  # noqa: PLR0913 - the parameters of the HTTP history
    reader: Reader,
    run_id: str,
    *,
    signals: Collection[str] | None = None,
    subjects: Collection[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    points: int,
) -> Iterator[Overview]:
    """Yield an overview of each signal in `start <= step < stop`, all on the grid of at most `points` buckets.

    The grid is `make_grid(start, stop, points)`, where `stop` is no later than the run's last step. Minimum and maximum
    are exact, whatever was read for them; means are rounded to a float32 where they are normal numbers. Signals without
    the subjects asked for are left out.

    Raises:
        InvalidSpec: A signal's name holds a character that no database can.
        NotFound: There is no run with that id.
    """
    refuse_unstorable({"/signals": signals or ()})
    query = select(runs.c.steps_done).where(runs.c.id == run_id)
    done = reader.connection.execute(query).scalar_one_or_none() if is_id(run_id) else None
    if done is None:
        raise NotFound("run", run_id)
    start = min(max(start, 0), done)
    grid = make_grid(start, max(done if stop is None else min(stop, done), start), max(points, 1))
    names = [signal for signal in signals_of(reader, run_id) if signals is None or signal in signals]
    found = (_read_signal(reader, _Series(run_id, signal), subjects, grid, done) for signal in names)
    return (overview for overview in found if overview is not None)


@dataclass(frozen=True)
class _Series:
    """One signal of one run, as rows of a table."""

    run_id: str
    signal: str

    def of(self, table: Table, level: int | None) -> list[ColumnElement[bool]]:
        """Ask for its rows: the chunks, or the pieces of a level."""
        mine = [table.c.run_id == self.run_id, table.c.signal == self.signal]
        return mine if level is None else [*mine, table.c.level == level]

    def within(self, table: Table, start: int, stop: int, level: int | None = None) -> Select[Any]:
        """Ask for the payloads that hold some of `start <= step < stop`, in their order."""
        mine = self.of(table, level)
        # No two of one level overlap, so that the index leads to the first one.
        leading = select(func.max(table.c.first_step)).where(*mine, table.c.first_step <= start).scalar_subquery()
        inside = (
            table.c.first_step >= func.coalesce(leading, 0),
            table.c.first_step <= stop - 1,  # as large as the column can hold, where `stop` is not
            table.c.last_step >= start,
        )
        return select(table.c.payload).where(*mine, *inside).order_by(table.c.first_step)

    def row(self, level: int, first: int, last: int, payload: bytes) -> dict[str, Any]:
        """Make the row of a piece."""
        steps = {"first_step": first, "last_step": last}
        return {"run_id": self.run_id, "signal": self.signal, "level": level, **steps, "payload": payload}

    def other_subjects(self) -> InvalidHistory:
        """Make the error of a signal whose parts do not belong together."""
        return InvalidHistory(f"The parts of the signal {self.signal!r} have different layers or parameters.")


def _read_signal(
    reader: Reader, series: _Series, subjects: Collection[str] | None, grid: Grid, done: int
) -> Overview | None:
    first = select(_chunks.first_step, _chunks.payload).where(*series.of(history_chunks, None))
    chunk = reader.connection.execute(first.order_by(_chunks.first_step).limit(1)).one()
    names = decode_subjects(chunk.payload)
    kept = [place for place, name in enumerate(names) if subjects is None or name in subjects]
    if not kept:
        return None
    source = _Source(reader, series, names, kept, grid.width, done)
    # A run that was recorded before there was a pyramid has none, or lacks its beginning.
    level = grid.level if source.has_piece_at(chunk.first_step) else None
    parts = source.cover(RAW if level is None else level, grid.start, grid.stop)
    cells = merge_cells([Cells.empty(len(kept)), *parts], grid.width)
    return lay_out(series.signal, tuple(names[place] for place in kept), cells, grid)


@dataclass(frozen=True)
class _Source:
    """Where the cells of one signal come from: those of the subjects at the places `kept` among its `names`."""

    reader: Reader
    series: _Series
    names: tuple[str, ...]
    kept: list[int]
    width: int
    done: int

    def has_piece_at(self, step: int) -> bool:
        """Tell whether the piece is there that was written with the chunk which begins at this step."""
        query = select(_pieces.first_step).where(*self.series.of(history_overviews, 0), _pieces.first_step == step)
        return self.reader.connection.execute(query).one_or_none() is not None

    def cover(self, level: int, start: int, stop: int) -> Iterator[Cells]:
        """Yield cells of the grid's width for `start <= step < stop`: whole ones of `level`, the ends from those below.

        The cells come in the order of their steps; some can begin alike.
        """
        if start >= stop:
            return
        if level == RAW:
            yield from self._sum_rows(start, stop)
            return
        size = cell_steps(level)
        first, last = -(-start // size) * size, stop // size * size
        if level > 0:
            last = min(last, _block(level, self.done))
        elif stop >= self.done:  # nothing follows what was recorded last: its cell is whole
            last = -(-stop // size) * size
        if first >= last:
            yield from self.cover(level - 1, start, stop)
            return
        yield from self.cover(level - 1, start, first)
        yield from self._read_cells(level, first, last)
        yield from self.cover(level - 1, last, stop)

    def _read_cells(self, level: int, start: int, stop: int) -> Iterator[Cells]:
        every, expected = len(self.kept) == len(self.names), fingerprint(self.names)
        for row in self.reader.connection.execute(self.series.within(history_overviews, start, stop, level)):
            if peek_fingerprint(row.payload) != expected:
                raise self.series.other_subjects()
            cells = decode_cells(row.payload).between(start, stop)
            yield merge_cells([cells if every else cells.of(self.kept)], self.width)

    def _sum_rows(self, start: int, stop: int) -> Iterator[Cells]:
        subjects = tuple(self.names[place] for place in self.kept)
        query = self.series.within(history_chunks, start, stop)
        # PostgreSQL keeps a cursor of its own for it, which is to be closed also where a chunk is damaged.
        with self.reader.connection.execute(query.execution_options(yield_per=CHUNKS_AT_ONCE)) as rows:
            for row in rows:
                table = decode_table(row.payload)
                if table.subjects != self.names:
                    raise self.series.other_subjects()
                if subjects != self.names:
                    table = SignalTable(table.steps, subjects, table.values[:, self.kept])
                yield make_cells(table.between(start, stop), self.width)


def _add_blocks(writer: Writer, series: _Series, before: int, done: int, dropped: Mapping[int, int]) -> None:
    """Make the blocks of every level that ended between two steps, or that were dropped from a step on."""
    for level in count(1):
        start, stop = min(_block(level, before), dropped.get(level, before)), _block(level, done)
        if start >= stop:
            return
        rows = writer.connection.execute(series.within(history_overviews, start, stop, level - 1)).all()
        if len({peek_fingerprint(row.payload) for row in rows}) > 1:
            raise series.other_subjects()
        if rows:
            cells = merge_cells([decode_cells(row.payload).between(start, stop) for row in rows], cell_steps(level))
            payload = encode_cells(cells, peek_fingerprint(rows[0].payload))
            writer.connection.execute(insert(history_overviews), [series.row(level, start, stop - 1, payload)])


def _drop_blocks(writer: Writer, series: _Series, first: int) -> dict[int, int]:
    """Delete the blocks that end after a step: rows came late for them. Return where the first one of each level began."""
    mine = series.of(history_overviews, None)
    blocks = delete(history_overviews).where(*mine, _pieces.level > 0, _pieces.last_step >= first)
    began: dict[int, int] = {}
    for level, step in writer.connection.execute(blocks.returning(_pieces.level, _pieces.first_step)):
        began[level] = min(step, began.get(level, step))
    return began


def _block(level: int, step: int) -> int:
    """Return where the last block begins that a run of so many steps has not completed."""
    return step // (BLOCK_CELLS * cell_steps(level)) * (BLOCK_CELLS * cell_steps(level))
