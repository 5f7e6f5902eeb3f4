"""Summaries out of the pyramid: the same as of the whole history in memory, whatever the chunks and schedules are."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import delete

from gradclinic.errors import NotFound
from gradclinic.history import WHOLE_STEP, History, SignalTable
from gradclinic.history.summary import SUMMED_FROM, summarize
from store.summaries import read_stretch, read_summary
from store.tables import history_overviews
from store.transactions import Store
from tests.store.test_overviews import add_run, write

EVERY = {"grad_norm": 1, "update_ratio": 10, "dead_fraction": 700}
SUMMED, WHOLE = tuple(EVERY), ("loss", "lr")
SUBJECTS = ("layers.0.weight", "layers.0.bias")


def history(steps: int) -> History:
    generator = np.random.default_rng(steps)
    tables = {"loss": SignalTable(np.arange(steps), (WHOLE_STEP,), generator.random((steps, 1)).astype(np.float32))}
    for signal, every in EVERY.items():
        at = np.arange(0, steps, every)
        values = generator.lognormal(0, 3, (len(at), 2)).astype(np.float32).astype(np.float64)
        values[generator.random(values.shape) < 0.002] = np.nan
        tables[signal] = SignalTable(at, SUBJECTS, values)
    tables["grad_std"] = SignalTable(np.arange(steps), SUBJECTS, np.ones((steps, 2)))
    return History(tables)


def stored(store: Store, whole: History, chunk: int) -> str:
    run_id = add_run(store)
    last = whole.last_step or 0
    write(store, run_id, *(whole.select(start=start, stop=start + chunk) for start in range(0, last + 1, chunk)))
    return run_id


@pytest.mark.parametrize(("steps", "chunk"), [(SUMMED_FROM - 1, 128), (SUMMED_FROM, 128), (3001, 128), (12_345, 500)])
@pytest.mark.parametrize("with_pyramid", [True, False])
def test_a_stored_summary_is_that_of_the_history(store: Store, steps: int, chunk: int, *, with_pyramid: bool):
    """Also of a run that was recorded before there was a pyramid."""
    whole = history(steps)
    run_id = stored(store, whole, chunk)
    if not with_pyramid:
        with store.writing() as writer:
            writer.connection.execute(delete(history_overviews).where(history_overviews.c.run_id == run_id))
    with store.reading() as reader:
        found = read_summary(reader, run_id, summed=SUMMED, whole=WHOLE)
        expected = summarize(whole, SUMMED)
        assert set(found.tables) == {*SUMMED, "loss"}, "what nobody asked for is not read"
        assert found.stretches == expected.stretches
        for signal in SUMMED:
            for one, other in (
                (found[signal], expected[signal]),
                (found.highest(signal), expected.highest(signal)),
            ):
                assert np.array_equal(one.steps, other.steps)
                np.testing.assert_allclose(one.values, other.values, rtol=1e-6)
        assert np.array_equal(found["loss"].values, whole["loss"].values)
        for stretch in found.stretches[:2]:
            rows = read_stretch(reader, run_id, stretch, SUMMED)
            kept = whole.select(SUMMED, start=stretch[0], stop=stretch[1])
            assert np.array_equal(rows["grad_norm"].values, kept["grad_norm"].values, equal_nan=True)


def test_there_has_to_be_a_run(store: Store):
    with store.reading() as reader, pytest.raises(NotFound):
        read_summary(reader, "none", summed=SUMMED, whole=WHOLE)
