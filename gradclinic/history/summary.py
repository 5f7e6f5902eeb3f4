"""A history with its middle summed up: the first and the last steps as they were recorded, and between them one row for each
stretch of steps, however long the training was. What is made of it, and which stretches are looked at closely, is the
diagnosis's business.

A stretch's row stands at its first step. `tables` hold the means; the largest values stand beside them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradclinic.history.history import CHUNK_STEPS, History, SignalTable
from gradclinic.history.overview import CELL_STEPS, Cells, Grid, Overview, cell_steps, lay_out, make_cells

FIRST, LAST = CHUNK_STEPS, CHUNK_STEPS
"""Steps at the start and at least so many at the end that are left as they were recorded: a chunk each."""

STRETCHES = 256
"""Stretches that the rest is summed up in, at most, and at least a quarter as many: each is one cell of a level, so that few
pieces are read, and shorter than a fiftieth of it.
"""

SUMMED_FROM = FIRST + LAST + 24 * CELL_STEPS
"""Steps from which on a history is summed up, 1024: shorter ones have too few cells to be worth it, and are small."""

Stretch: TypeAlias = "tuple[int, int]"
"""The first step and the one after the last."""


@dataclass(frozen=True)
class Summary(History):
    """A history of which the `stretches` are summed up, in the order of their steps; all others are as they were recorded."""

    largest: Mapping[str, SignalTable] = field(default_factory=dict)
    """By signal, in place of the means the largest value in each stretch; NaN where any was NaN."""
    stretches: tuple[Stretch, ...] = ()
    open_in: Mapping[str, frozenset[Stretch]] = field(default_factory=dict)
    """By signal the stretches that were opened."""

    def highest(self, signal: str) -> SignalTable:
        """Return the largest values of one signal: in a stretch the largest there was."""
        return self.largest.get(signal, self[signal])

    def stretch_of(self, step: int, signals: Collection[str]) -> Stretch | None:
        """Return the stretch that a step of some signals was summed up in; None where all stand as they were recorded."""
        place = bisect_right(self.stretches, (step, math.inf)) - 1
        found = self.stretches[place] if place >= 0 else None
        if found is None or step >= found[1]:
            return None
        return (
            found if any(found not in self.open_in.get(name, ()) for name in signals if name in self.largest) else None
        )

    def opened(self, stretch: Stretch, rows: History, signals: Collection[str]) -> Summary:
        """Return this with the rows of a stretch as they were recorded, of some signals."""
        chosen = [name for name in signals if name in self.largest and stretch not in self.open_in.get(name, ())]
        found = {name: rows.tables.get(name) for name in chosen}
        return replace(
            self,
            tables={**self.tables, **{name: _replaced(self.tables[name], stretch, found[name]) for name in chosen}},
            largest={**self.largest, **{name: _replaced(self.largest[name], stretch, found[name]) for name in chosen}},
            open_in={**self.open_in, **{name: self.open_in.get(name, frozenset()) | {stretch} for name in chosen}},
        )


def grid_of(steps_done: int) -> Grid | None:
    """Return the stretches in which a history of so many steps is summed up; None where it is not."""
    if steps_done < SUMMED_FROM:
        return None
    stop, level = (steps_done - LAST) // CHUNK_STEPS * CHUNK_STEPS, 0
    while cell_steps(level) * STRETCHES < stop - FIRST:
        level += 1
    return Grid(FIRST, stop, cell_steps(level))


def join_summary(whole: History, first: History, overviews: Sequence[Overview], last: History, grid: Grid) -> Summary:
    """Put a summary together.

    Args:
        whole: The signals that are not summed up, with the facts of the run.
        first: The steps before the grid, of those that are.
        overviews: The grid of each of those.
        last: The steps from its end on; where there are none of a signal, the last one that there is.
        grid: The stretches.
    """
    means, largest = dict(whole.tables), {}
    for overview in overviews:
        name = overview.signal
        ends = first.tables.get(name), last.tables.get(name)
        means[name] = _joined(overview, overview.mean, *ends)
        largest[name] = _joined(overview, overview.maximum, *ends)
    edges = [*grid.starts.tolist(), grid.stop]
    return Summary(means, whole.facts, largest, tuple(pairwise(edges)))


def summarize(history: History, signals: Sequence[str], grid: Grid | None = None) -> Summary:
    """Sum up some signals of a history in memory, as the store does by its pyramid; by default on the grid that it takes."""
    grid = grid or grid_of((history.last_step or 0) + 1)
    if grid is None:
        return Summary(history.tables, history.facts)
    wide = history.select([name for name in signals if name in history])
    whole = History({name: table for name, table in history.tables.items() if name not in wide}, history.facts)
    last = dict(wide.select(start=grid.stop).tables)
    for name, table in wide.tables.items():
        if not len(last[name].steps):
            last[name] = SignalTable(table.steps[-1:], table.subjects, table.values[-1:])
    overviews = [
        lay_out(name, table.subjects, _cells(table.between(grid.start, grid.stop), grid), grid)
        for name, table in wide.tables.items()
    ]
    return join_summary(whole, wide.select(stop=grid.start), overviews, History(last), grid)


def _cells(table: SignalTable, grid: Grid) -> Cells:
    return make_cells(table, grid.width) if len(table.steps) else Cells.empty(len(table.subjects))


def _joined(
    overview: Overview,
    values: npt.NDArray[np.floating[Any]],
    first: SignalTable | None,
    last: SignalTable | None,
) -> SignalTable:
    """Put the stretches in which something was recorded between the first and the last rows."""
    filled = overview.counts > 0
    if last is not None and len(last.steps):
        filled &= overview.starts < last.steps[0]  # a stretch whose only record is the last one is not told twice
    middle = SignalTable(overview.starts[filled], overview.subjects, values[filled].astype(np.float64))
    parts = [part for part in (first, middle, last) if part is not None]
    return SignalTable(
        np.concatenate([part.steps for part in parts]),
        overview.subjects,
        np.concatenate([part.values for part in parts]),
    )


def _replaced(table: SignalTable, stretch: Stretch, rows: SignalTable | None) -> SignalTable:
    before, after = (int(place) for place in np.searchsorted(table.steps, stretch))
    if rows is None or rows.subjects != table.subjects:
        return table
    steps = [table.steps[:before], rows.steps, table.steps[after:]]
    values = [table.values[:before], rows.values, table.values[after:]]
    return SignalTable(np.concatenate(steps), table.subjects, np.concatenate(values))
