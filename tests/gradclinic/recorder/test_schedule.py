"""Schedules follow from sizes and the step's number alone."""

import pytest

from gradclinic.contract.training import LAYER_SIGNALS, PARAMETER_SIGNALS, SIGNALS
from gradclinic.recorder import DEFAULT_SCHEDULE, DENSE_STEPS, schedule_of
from gradclinic.recorder.schedule import GRADIENT_COLUMNS, LARGE, SMALL, Calendar, is_due


def test_every_multiplies_and_signals_replace():
    schedule = schedule_of(3, {"grad_norm": 5, "update_ratio": 0})
    assert schedule["grad_norm"] == 5
    assert schedule["update_ratio"] == 0
    assert schedule["activation_std"] == 3 * DEFAULT_SCHEDULE["activation_std"]
    assert set(schedule) == set(SIGNALS)


def test_a_large_model_is_read_more_rarely_and_its_layers_as_often():
    usual, large = schedule_of(elements=LARGE - 1, tensors=8), schedule_of(elements=LARGE, tensors=8)
    assert usual == dict(DEFAULT_SCHEDULE)
    assert all(large[signal] > usual[signal] for signal in PARAMETER_SIGNALS)
    assert all(large[signal] == usual[signal] for signal in LAYER_SIGNALS)


def test_small_tensors_are_recorded_more_rarely_unless_one_asks_for_more():
    small = schedule_of(elements=SMALL * 10 - 1, tensors=10, signals={"grad_norm": 1})
    assert small["grad_norm"] == 1
    assert small["grad_nonfinite"] > schedule_of(elements=SMALL * 10, tensors=10)["grad_nonfinite"]


def test_the_calendar_says_what_the_schedule_does():
    schedule = schedule_of(1, {"grad_max": 3, "grad_mean": 7, "weight_norm": 0, "activation_mean": 11})
    calendar = Calendar(schedule)
    for step in range(100):
        due = calendar.at(step)
        found = {name for name, _ in (*due.gradients, *due.weights)} | due.layers
        assert found == {signal for signal, every in schedule.items() if is_due(step, every)}
        assert due.whole == bool(found & (set(GRADIENT_COLUMNS) - {"grad_norm", "grad_nonfinite"}))
        assert all(GRADIENT_COLUMNS[place] == name for name, place in due.gradients)
        assert step >= DENSE_STEPS or "weight_norm" not in found


@pytest.mark.parametrize(
    ("every", "signals", "words"),
    [
        (1, {"typo": 1}, "No such signal: typo. There are grad_norm, grad_max"),
        (1, {"grad_norm": -1}, "grad_norm is asked for every -1 steps"),
        (1, {"grad_norm": 0.5}, "grad_norm is asked for every 0.5 steps"),
        (0, {}, "every is 0; expected a whole number of at least 1"),
        (2.5, {}, "every is 2.5"),
    ],
)
def test_what_nobody_can_record_is_refused_in_words(every, signals, words):
    with pytest.raises(ValueError, match=words):
        schedule_of(every, signals)
