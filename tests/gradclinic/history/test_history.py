"""Cutting histories apart and joining them again."""

import numpy as np
import pytest

from gradclinic.errors import InvalidHistory
from gradclinic.history import History, SignalTable, column_name, concatenate


def part(start, stop, every=1, subjects=("a", "b")):
    steps = np.arange(start, stop, every)
    values = np.stack([steps * (place + 1.0) for place in range(len(subjects))], axis=1)
    return SignalTable(steps, subjects, values)


def test_parts_join_to_the_whole():
    whole = concatenate([History({"x": part(0, 10)}), History({"x": part(10, 15), "y": part(10, 15, 5)})])
    assert whole["x"].steps.tolist() == list(range(15))
    assert whole["y"].steps.tolist() == [10]
    assert whole.last_step == 14


@pytest.mark.parametrize("second", [part(9, 12), part(0, 3), part(10, 12, subjects=("a",))])
def test_parts_that_overlap_or_differ_do_not_join(second):
    with pytest.raises(InvalidHistory):
        concatenate([History({"x": part(0, 10)}), History({"x": second})])


def test_a_selection_is_by_signal_subject_and_steps():
    history = History({"x": part(0, 10), "y": part(0, 10, subjects=("c",))})
    chosen = history.select(signals=["x", "y"], subjects=["b"], start=3, stop=6)
    assert list(chosen.tables) == ["x"]
    assert chosen["x"].series("b").tolist() == [6.0, 8.0, 10.0]


def test_what_was_not_recorded_is_said_in_words():
    with pytest.raises(InvalidHistory, match="'z' was not recorded; there are x"):
        History({"x": part(0, 2)})["z"]
    with pytest.raises(InvalidHistory, match="Nothing was recorded of 'q'"):
        part(0, 2).series("q")


def test_a_table_has_a_value_for_each_step_and_subject():
    with pytest.raises(InvalidHistory, match="shape"):
        SignalTable(np.arange(3), ("a",), np.zeros((2, 1)))


def test_columns_are_named_by_subject_and_signal():
    assert column_name("layers.0", "grad_norm") == "layers.0/grad_norm"
    assert column_name("", "loss") == "loss"
