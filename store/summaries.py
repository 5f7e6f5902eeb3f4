"""Summaries of histories, for judging them: the middle of a run from its pyramid, its ends from its chunks.

What it costs depends on the run's columns, hardly on its steps: of signals with many columns a few chunks are unpacked, and
some hundred cells; only those of the whole step, one number each, are read step by step.
"""

from __future__ import annotations

from collections.abc import Collection

from gradclinic.history import History, SignalTable
from gradclinic.history.summary import Stretch, Summary, grid_of, join_summary
from store.histories import read_history, read_tables, steps_done
from store.history_chunks import last_chunks, read_chunks
from store.overviews import read_overviews
from store.transactions import Reader


def read_summary(reader: Reader, run_id: str, *, summed: Collection[str], whole: Collection[str]) -> Summary:
    """Return the summary of a run's history.

    Args:
        reader: Where from.
        run_id: The run.
        summed: Signals to sum up, where the run is long.
        whole: Signals to read step by step.

    Raises:
        NotFound: There is no run with that id.
    """
    grid = grid_of(steps_done(reader, run_id))
    if grid is None:
        history = read_history(reader, run_id, signals=[*summed, *whole])
        return Summary(history.tables, history.facts)
    points = len(grid.starts)  # of which an overview makes the same grid
    overviews = read_overviews(reader, run_id, signals=summed, start=grid.start, stop=grid.stop, points=points)
    return join_summary(
        read_history(reader, run_id, signals=whole),
        History(read_tables(reader, run_id, signals=summed, stop=grid.start)),
        list(overviews),
        _last_rows(reader, run_id, summed, grid.stop),
        grid,
    )


def read_stretch(reader: Reader, run_id: str, stretch: Stretch, signals: Collection[str]) -> History:
    """Return the rows of a stretch as they were recorded."""
    return History(read_tables(reader, run_id, signals=signals, start=stretch[0], stop=stretch[1]))


def _last_rows(reader: Reader, run_id: str, signals: Collection[str], start: int) -> History:
    """Return the rows from a step on; of a signal that has none of them the last one there is."""
    tables = dict(read_tables(reader, run_id, signals=signals, start=start))
    ended = [
        chunk
        for chunk in last_chunks(reader, run_id)
        if chunk.signal in signals and (chunk.signal not in tables or not len(tables[chunk.signal].steps))
    ]
    for signal, table in read_chunks(reader, run_id, ended):
        tables[signal] = SignalTable(table.steps[-1:], table.subjects, table.values[-1:])
    return History(tables)
