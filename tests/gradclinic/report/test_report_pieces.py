"""The small parts of a report: names of layers, numbers, bars, curves, and the pictures of a history."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from gradclinic.history import WHOLE_STEP, History, SignalTable
from gradclinic.report import Overview, abbreviate_layers, overview_of_document, overview_of_history, render_overview
from gradclinic.report.bars import bar, curve
from gradclinic.report.findings import since_when, sure_words
from gradclinic.report.writing import number


@pytest.mark.parametrize(
    ("layers", "short"),
    [
        ([], ""),
        (["head"], "head"),
        (["layers.0", "layers.2"], "layers.0, layers.2"),
        ([f"layers.2[{turn}].layers.0" for turn in range(18)], "layers.2[0..17].layers.0 (18 layers)"),
        ([f"layers.2[{turn}].layers.0" for turn in (0, 1, 2, 5)], "layers.2[0..2,5].layers.0 (4 layers)"),
        (
            [f"layers.0[{turn}].layers.{place}" for turn in range(3) for place in (0, 2)],
            "layers.0[0..2].layers.0, layers.0[0..2].layers.2 (6 layers)",
        ),
        (
            [f"layers.0[{outer}].layers.1[{inner}]" for outer in range(2) for inner in range(3)],
            "layers.0[0..1].layers.1[0..2] (6 layers)",
        ),
        ([f"layers.{place}" for place in range(9)], "layers.0 ... layers.8 (9 layers)"),
    ],
)
def test_layers_are_abbreviated_without_losing_any(layers: list[str], short: str):
    assert abbreviate_layers(layers) == short


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (400.0, "400"),
        (0.125, "0.125"),
        (5.8123e-17, "5.81e-17"),
        (1.5e12, "1.5e+12"),
        (-3.0, "-3"),
        (None, "not finite"),
        (math.nan, "not finite"),
        (-math.inf, "-infinite"),
    ],
)
def test_numbers_have_three_digits(value: float | None, written: str):
    assert number(value) == written


@given(st.floats(0, 1), st.integers(1, 60))
def test_a_bar_is_never_wider_than_its_room_and_never_hides_something(share: float, width: int):
    drawn = bar(share, width)
    assert len(drawn) <= width
    assert bool(drawn) == (share > 0)


@given(st.lists(st.none() | st.floats(), max_size=200), st.integers(1, 60))
@example([1.7e308, -1.7e308], 2)
@example([1.7e308, 1.7e308, 1.7e308], 1)
def test_a_curve_draws_whatever_was_recorded(values: list[float | None], width: int):
    assert len(curve(values, width)) == min(len(values), width)


def test_a_curve_starts_at_zero_so_that_a_small_change_looks_small():
    assert curve([2.5, 2.4, 2.1], 10) == "██▇"
    assert curve([1.0, 0.0, None, math.nan], 10) == "█▁·!"


def history() -> History:
    steps = np.arange(3)
    weights = np.array([[3.0, 1e-30], [3.0, 2e-30], [math.nan, 3e-30]])
    tables = {
        "grad_norm": SignalTable(
            steps,
            (WHOLE_STEP, "a.0.weight", "a.0.bias", "b.weight"),
            np.column_stack([np.ones(3), weights[:, 0], 4 * np.ones(3), weights[:, 1]]),
        ),
        "loss": SignalTable(steps, (WHOLE_STEP,), np.array([[2.0], [1.0], [0.5]])),
    }
    return History(tables)


def test_a_layers_gradient_is_that_of_its_parameters_together_and_typical_of_its_finite_steps():
    overview = overview_of_history(history())
    assert overview.gradients == {"a.0": 5.0, "b": 2e-30}
    assert list(overview.loss) == [2.0, 1.0, 0.5]


def test_layers_without_a_finite_gradient_are_filled_from_another_overview():
    late = Overview(gradients={"a": math.nan, "b": 1.0})
    assert not late.is_complete
    completed = late.completed_by(Overview(gradients={"a": 7.0, "b": 9.0}))
    assert completed.gradients == {"a": 7.0, "b": 1.0}
    assert completed.is_complete


def test_values_that_were_not_recorded_are_no_gradients():
    columns = {"a.weight/grad_norm": [1.0, None, 3.0], "b.weight/grad_norm": [None, None, None]}
    overview = overview_of_document({"columns": columns})
    assert overview.gradients["a"] == 2.0
    assert math.isnan(overview.gradients["b"])


def printed(overview: Overview) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(render_overview(overview))
    return str(console.file.getvalue())  # type: ignore[attr-defined]  # it is the StringIO above


def test_the_picture_of_a_deep_net_is_a_sample_from_end_to_end():
    drawn = printed(Overview(gradients={f"layers.{place}": 10.0 ** -(place / 10) for place in range(300)}))
    assert "24 of 300 layers are shown" in drawn
    assert "layers.0 " in drawn
    assert "layers.299" in drawn


def test_gradients_of_one_size_look_alike_and_zero_has_no_bar():
    lines = printed(Overview(gradients={"a": 0.3, "b": 0.1, "c": 0.0, "d": math.nan})).splitlines()
    lengths = [line.count("█") for line in lines[1:5]]
    assert lengths[0] - lengths[1] <= 4
    assert lengths[2:] == [0, 0]
    assert "not finite" in lines[4]


def test_an_empty_history_says_so():
    assert "Nothing is recorded" in printed(Overview())


def test_a_loss_that_is_never_finite_is_marked_and_said_once():
    drawn = printed(Overview(loss=[math.nan, math.inf]))
    assert "!!  not finite" in drawn
    assert printed(Overview(loss=[2.0, math.nan], ends=(2.0, math.nan))).rstrip().endswith("from 2 to not finite")


@pytest.mark.parametrize(
    ("first_step", "words"), [(None, None), (0, "from the start"), (7, "since step 7"), (399, "at the end")]
)
def test_a_finding_says_when_it_began(first_step: int | None, words: str | None):
    assert since_when(first_step, 399) == words


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (1.0, "certain"),
        (0.995, "nearly certain (above 99 %)"),
        (0.96, "nearly certain (96 %)"),
        (0.8, "very likely (80 %)"),
        (0.7, "likely (70 %)"),
        (0.5, "one guess among others (50 %)"),
    ],
)
def test_how_sure_a_cause_is_is_said_in_words(confidence: float, words: str):
    assert sure_words(confidence) == words
