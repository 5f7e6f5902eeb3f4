"""Summaries of histories: what they keep as it was recorded, and what becomes of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.history import WHOLE_STEP, History, SignalTable
from gradclinic.history.overview import cell_steps, make_grid
from gradclinic.history.summary import FIRST, STRETCHES, SUMMED_FROM, grid_of, summarize

STEPS = 3000
SUBJECTS = ("a", "b")


def history(every: int = 1, steps: int = STEPS) -> History:
    at = np.arange(0, steps, every)
    values = np.random.default_rng(0).lognormal(0, 2, (len(at), 2)).astype(np.float32).astype(np.float64)
    losses = np.linspace(2, 1, steps)[:, None]
    return History(
        {"grad_norm": SignalTable(at, SUBJECTS, values), "loss": SignalTable(np.arange(steps), (WHOLE_STEP,), losses)}
    )


def test_a_short_history_is_left_as_it_is():
    short = history(steps=SUMMED_FROM - 1)
    summary = summarize(short, ["grad_norm"])
    assert summary.stretches == ()
    assert summary["grad_norm"] is short["grad_norm"]
    assert summary.highest("grad_norm") is short["grad_norm"]


@pytest.mark.parametrize("every", [1, 10, 700])
def test_first_and_last_rows_are_as_recorded_and_the_middle_is_means_and_maxima(every: int):
    whole = history(every)
    summary = summarize(whole, ["grad_norm"])
    table, means, largest = whole["grad_norm"], summary["grad_norm"], summary.highest("grad_norm")
    assert np.array_equal(means.values[means.steps < FIRST], table.between(0, FIRST).values)
    assert means.steps[-1] == table.steps[-1]
    assert np.array_equal(means.values[-1], table.values[-1])
    assert (np.diff(means.steps) > 0).all()
    for start, stop in summary.stretches:
        rows = table.between(start, stop)
        if not len(rows.steps) or rows.steps[0] == table.steps[-1]:
            continue
        (mine,) = np.flatnonzero(means.steps == start)
        np.testing.assert_allclose(means.values[mine], rows.values.mean(axis=0), rtol=1e-6)
        assert np.array_equal(largest.values[mine], rows.values.max(axis=0))
    assert summary["loss"] is whole["loss"]


def test_all_stretches_opened_are_the_history_again():
    whole = history(10)
    summary = summarize(whole, ["grad_norm"])
    for stretch in summary.stretches:
        assert [summary.stretch_of(step, ["grad_norm"]) for step in (stretch[0], stretch[1] - 1)] == [stretch] * 2
        rows = whole.select(["grad_norm"], start=stretch[0], stop=stretch[1])
        summary = summary.opened(stretch, rows, ["grad_norm"])
        assert summary.stretch_of(stretch[0], ["grad_norm", "loss"]) is None
    for table in (summary["grad_norm"], summary.highest("grad_norm")):
        assert np.array_equal(table.steps, whole["grad_norm"].steps)
        assert np.array_equal(table.values, whole["grad_norm"].values)


def test_a_number_that_is_none_is_not_hidden():
    whole = history()
    whole["grad_norm"].values[1700, 1] = np.nan
    summary = summarize(whole, ["grad_norm"])
    largest = summary.highest("grad_norm")
    bad = np.flatnonzero(np.isnan(largest.values).any(axis=1))
    assert [summary.stretch_of(int(largest.steps[row]), ["grad_norm"]) for row in bad] == [
        summary.stretch_of(1700, ["grad_norm"])
    ]


@given(st.integers(SUMMED_FROM, 2**31 - 1))
def test_the_stretches_are_whole_cells_not_too_many_and_those_of_an_overview(steps: int):
    grid = grid_of(steps)
    assert grid is not None
    assert grid.width in {cell_steps(level) for level in range(20)}
    assert len(grid.starts) <= STRETCHES + 1
    assert len(grid.starts) >= min(STRETCHES // 4, (grid.stop - grid.start) // cell_steps(0))
    assert make_grid(grid.start, grid.stop, len(grid.starts)).width == grid.width
    assert steps - grid.stop >= FIRST
