from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gradclinic.contract.optimizer import Adam
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import TrainingCancelled
from gradclinic.training import train
from gradclinic.training.range_test import (
    AT_ONCE,
    FEWEST_STEPS,
    RANGES,
    ROOM,
    SMOOTHING,
    START_STEPS,
    Curve,
    run_range_test,
    smooth,
    suggest_learning_rate,
    suggested,
)

RELU = {"type": "ReLU"}


def spec(optimizer: Any = None, *, steps: int = 200, layers: Any = None, data: Any = None, **training: Any) -> Any:
    return parse_spec({
        "model": {"layers": layers or [{"type": "Linear", "out_features": 16}, RELU, {"type": "Linear", "out_features": 3}]},
        "data": data or {"type": "wine"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": optimizer or {"type": "SGD", "lr": 0.0},
        "training": {"steps": steps, "batch_size": 32, **training},
    })  # fmt: skip


def test_the_suggested_rate_trains_what_the_posted_one_did_not():
    posted = spec({"type": "SGD", "lr": 1e-5})
    rate = suggest_learning_rate(posted)
    assert rate is not None
    better = posted.model_copy(update={"optimizer": posted.optimizer.model_copy(update={"lr": rate})})
    before, after = train(posted).history.facts.outcome, train(better).history.facts.outcome
    assert after.val_loss < 0.5 * before.val_loss


def test_rates_rise_geometrically_over_a_quarter_of_the_steps():
    curve = run_range_test(spec(steps=100))
    ratios = np.divide(curve.rates[1:], curve.rates[:-1])
    np.testing.assert_allclose(ratios, ratios[0])
    assert curve.rates[0] == pytest.approx(RANGES[0][0])
    assert len(curve.rates) <= 25
    assert len(run_range_test(spec(steps=8)).rates) <= FEWEST_STEPS


def test_each_loss_is_that_before_the_step_at_its_rate():
    """The first rates change nothing to speak of, so that the first losses are those of a training at rate 0."""
    losses = train(spec()).history["loss"].series()
    np.testing.assert_allclose(run_range_test(spec()).losses[:10], losses[:10], rtol=1e-3)


def test_it_is_the_same_each_time_and_draws_nothing_from_the_global_generator():
    dropped = spec(
        layers=[{"type": "Linear", "out_features": 16}, {"type": "Dropout"}, {"type": "Linear", "out_features": 3}]
    )
    before = torch.random.get_rng_state()
    assert run_range_test(dropped) == run_range_test(dropped)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "type_", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "ASGD"]
)
def test_every_optimizer_gets_a_rate_that_trains(type_):
    rate = suggest_learning_rate(spec({"type": type_}, steps=400))
    outcome = train(spec({"type": type_, "lr": rate})).history.facts.outcome
    assert outcome.metric.value > 0.8


def test_rprop_whose_steps_do_not_follow_from_its_rate_gets_none():
    assert run_range_test(spec({"type": "Rprop"})) is None
    assert suggest_learning_rate(spec({"type": "Rprop"})) is None


def test_another_optimizer_can_be_tried_in_its_place():
    adam = suggest_learning_rate(spec(), optimizer=Adam(type="Adam"))
    assert adam == suggest_learning_rate(spec({"type": "Adam", "lr": 5.0}))
    assert adam != suggest_learning_rate(spec())


def test_raw_inputs_of_thousands_are_tried_at_far_lower_rates():
    raw = {"type": "linear_regression", "samples": 300, "low": 1e3, "high": 3e3, "normalize": False}
    posted = parse_spec({
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": raw,
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 400},
    })  # fmt: skip
    curve = run_range_test(posted)
    assert curve.rates[0] == pytest.approx(RANGES[1][0])
    rate = suggested(curve)
    assert rate is not None
    assert rate < 1e-7


def test_it_stops_between_steps_when_asked():
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(TrainingCancelled):
        run_range_test(spec(), should_stop=should_stop)
    assert len(asked) == 4


def test_it_ends_where_the_loss_blows_up():
    curve = run_range_test(spec(steps=400))
    assert len(curve.losses) < 100
    assert curve.smoothed[-1] > 3 * min(curve.smoothed)


def curve_of(*losses: float) -> Curve:
    return Curve(tuple(np.geomspace(1e-6, 10.0, len(losses)).tolist()), losses)


class TestSuggestion:
    def test_it_is_a_tenth_of_the_rate_at_the_lowest_smoothed_loss(self):
        curve = curve_of(*np.full(40, 2.0), *np.linspace(2.0, 0.1, 30), *np.linspace(1.0, 9.0, 10))
        lowest = int(np.argmin(curve.smoothed))
        assert 60 < lowest < 75
        assert suggested(curve) == pytest.approx(curve.rates[lowest] / ROOM, rel=0.05)

    def test_a_loss_that_stays_or_only_rises_suggests_none(self):
        assert suggested(curve_of(*np.full(60, 2.0))) is None
        assert suggested(curve_of(*np.full(30, 2.0), *np.linspace(2.0, 50.0, 30))) is None

    def test_what_batches_vary_by_is_no_fall(self):
        """Squares of normal numbers are the losses of a regression on one sample a step."""
        drawn = np.random.default_rng(0).chisquare(1, (40, 100))
        assert sum(suggested(curve_of(*row)) is not None for row in drawn) <= 2
        batches = 2.0 + 0.3 * np.random.default_rng(1).standard_normal((40, 100))
        assert sum(suggested(curve_of(*row)) is not None for row in batches) <= 2
        assert all(suggested(curve_of(*np.where(np.arange(100) > 60, row - 1.5, row))) for row in batches)

    @pytest.mark.parametrize("count", [0, 1, START_STEPS])
    def test_too_few_losses_suggest_none(self, count):
        assert suggested(curve_of(*np.linspace(2.0, 0.1, count))) is None


def test_smoothed_losses_are_the_weighted_means_of_all_before():
    losses = [3.0, 1.0, 4.0, 1.0, 5.0]
    for end, mean in enumerate(smooth(losses), start=1):
        weights = SMOOTHING ** np.arange(end)[::-1]
        assert mean == pytest.approx(float(weights @ losses[:end] / weights.sum()))


def test_the_second_range_begins_below_where_the_first_would_have_broken_at_once():
    (low, high), (lower, upper) = RANGES
    assert lower < low <= upper < high * (low / high) ** (1 - 2 * AT_ONCE)
