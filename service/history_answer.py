"""A part of a run's history, as it was asked for: what there is of it is found first, then it is read and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradclinic.history import RunFacts
from gradclinic.history.overview import Overview, make_grid
from service.history_form import NUMBERS_A_BUCKET, refuse_too_much, write_overviews, write_rows
from service.history_query import HistoryFormat, HistoryQuery
from service.history_rows import columns_of, join_rows, stream_rows
from service.history_tables import write_arrow, write_arrow_overviews, write_csv, write_csv_overviews
from service.query import in_query
from service.streaming import Piece
from store.histories import read_facts
from store.history_chunks import Chunk, first_chunks, list_chunks, read_subjects
from store.overviews import read_overviews
from store.runs import find_run
from store.transactions import Reader, Store

FORMATS: Mapping[HistoryFormat, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""The media type of each form."""


def write_history(store: Store, run_id: str, asked: HistoryQuery, form: HistoryFormat) -> Iterator[Piece]:
    """Write the part of the run's history that is asked for, piece by piece.

    Whether it is too much is worked out before any of it is read.

    Raises:
        NotFound: There is no such run.
        InvalidParameter: A signal or a layer that there is not, or too much for one answer.
    """
    # Nothing happens before the first piece is asked for: that is done in a thread.
    yield from (_write_points if asked.points is not None else _write_steps)(store, run_id, asked, form)


@dataclass(frozen=True)
class _Steps:
    """The steps that are asked for: of what, and where they lie."""

    start: int
    stop: int
    chunks: Sequence[Chunk]
    subjects: Mapping[str, Sequence[str]]
    facts: RunFacts

    @property
    def rows(self) -> int:
        """At least so many steps were recorded."""
        rows: Counter[str] = Counter()
        for chunk in self.chunks:
            rows[chunk.signal] += chunk.rows_between(self.start, self.stop)
        return max(rows.values(), default=0)


def _write_steps(store: Store, run_id: str, asked: HistoryQuery, form: HistoryFormat) -> Iterator[Piece]:
    with store.reading() as reader:
        part = _find_steps(reader, run_id, asked)
    columns = columns_of(part.chunks, part.subjects)
    if form == "json":
        refuse_too_much(part.rows, len(columns))
    rows = stream_rows(store, run_id, part.chunks, columns, start=part.start, stop=part.stop)
    match form:
        case "json":
            return write_rows(run_id, join_rows(rows, columns), columns, part.start, part.stop)
        case "csv":
            return write_csv(columns, rows)
        case "arrow":
            return write_arrow(columns, rows, part.facts)


def _write_points(store: Store, run_id: str, asked: HistoryQuery, form: HistoryFormat) -> Iterator[Piece]:
    with store.reading() as reader:
        start, stop = asked.range_of(find_run(reader, run_id).steps_done)
        starts = make_grid(start, stop, asked.points or 1).starts
        overviews = _read_points(reader, run_id, asked, start, stop) if len(starts) else []
    match form:
        case "json":
            return write_overviews(run_id, overviews, starts, start, stop)
        case "csv":
            return write_csv_overviews(overviews, starts)
        case "arrow":
            return write_arrow_overviews(overviews, starts)


def _find_steps(reader: Reader, run_id: str, asked: HistoryQuery) -> _Steps:
    start, stop = asked.range_of(find_run(reader, run_id).steps_done)
    heads, facts = _heads(reader, run_id, asked), read_facts(reader, run_id)
    chosen = asked.select(read_subjects(reader, run_id, heads), facts)
    chunks = list_chunks(reader, run_id, signals=list(chosen), start=start, stop=stop)
    there = {chunk.signal for chunk in chunks}
    subjects = {signal: names for signal, names in chosen.items() if signal in there}
    return _Steps(start, stop, chunks, subjects, facts)


def _read_points(reader: Reader, run_id: str, asked: HistoryQuery, start: int, stop: int) -> list[Overview]:
    heads, points = _heads(reader, run_id, asked), asked.points or 1
    chosen: dict[str, list[str]] | None = None
    if asked.layers is not None:
        chosen = asked.select(read_subjects(reader, run_id, heads), read_facts(reader, run_id))
    columns = sum(head.subjects if chosen is None else len(chosen.get(head.signal, ())) for head in heads)
    refuse_too_much(min(points, stop - start), NUMBERS_A_BUCKET * columns)
    signals = [head.signal for head in heads if chosen is None or head.signal in chosen]
    subjects = None if chosen is None else {subject for names in chosen.values() for subject in names}
    return list(
        read_overviews(reader, run_id, signals=signals, subjects=subjects, start=start, stop=stop, points=points)
    )


def _heads(reader: Reader, run_id: str, asked: HistoryQuery) -> list[Chunk]:
    """Return the first chunk of each signal that is asked for and was recorded."""
    with in_query():
        heads = first_chunks(reader, run_id, asked.wanted_signals)
    asked.refuse_unknown_signals([head.signal for head in heads])
    return sorted(heads, key=lambda head: head.signal)
