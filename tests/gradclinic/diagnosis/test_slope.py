"""The slope over depth, and whether its interval holds what it promises on profiles whose slope is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from gradclinic.diagnosis.gains import FLOOR, Gains
from gradclinic.diagnosis.slope import slope_over_depth, t_quantile
from gradclinic.history import LayerFacts

Floats = npt.NDArray[np.float64]
TRUE, SPREAD, DRAWS = 0.1, 0.1, 400


def gains_of(decades: Floats, kinds: tuple[str, ...] = ("Linear",)) -> Gains:
    layers = tuple(
        LayerFacts(name=str(place), type=kinds[place % len(kinds)], parameters=["w"])
        for place in range(decades.shape[1])
    )
    return Gains(layers, np.arange(len(decades)), decades)


def covered(make: Callable[[np.random.Generator], Floats], kinds: tuple[str, ...]) -> float:
    generator, hits = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        slope = slope_over_depth(gains_of(make(generator)[None], kinds), np.ones(1, bool))
        assert slope is not None
        hits += slope.ci95[0] <= TRUE <= slope.ci95[1]
    return hits / DRAWS


def walk(layers: int, likeness: float) -> Callable[[np.random.Generator], Floats]:
    """Profiles whose gains scatter around the slope, each like the one before it."""

    def make(generator: np.random.Generator) -> Floats:
        gains, before = [], 0.0
        for _ in range(layers - 1):
            before = likeness * before + float(generator.normal(0.0, SPREAD))
            gains.append(TRUE + before)
        return np.cumsum([-10.0, *gains])

    return make


@pytest.mark.parametrize("kinds", [("Linear",), ("Linear", "Tanh")])
@pytest.mark.parametrize("layers", [6, 12, 40])
def test_the_interval_holds_where_each_layer_takes_its_part_by_itself(layers: int, kinds: tuple[str, ...]):
    """An interval of least squares that takes the points for independent holds here in half of the draws, or fewer."""
    assert covered(walk(layers, 0.0), kinds) >= 0.93


def test_the_interval_is_nearly_kept_where_neighbours_are_alike():
    assert covered(walk(30, 0.5), ("Linear",)) >= 0.85


def test_the_interval_holds_where_the_points_scatter_around_a_line():
    def make(generator: np.random.Generator) -> Floats:
        return -10 + TRUE * np.arange(20) + generator.normal(0.0, SPREAD, 20)

    assert covered(make, ("Linear",)) >= 0.95


def test_steps_that_differ_widen_the_interval():
    line = -10 + TRUE * np.arange(12)
    still = slope_over_depth(gains_of(np.stack([line] * 6)), np.ones(6, bool))
    moving = slope_over_depth(
        gains_of(np.stack([line * factor for factor in (0.5, 0.8, 1, 1, 1.2, 1.5)])), np.ones(6, bool)
    )
    assert still is not None
    assert moving is not None
    assert still.decades == pytest.approx(TRUE)
    assert still.ci95[1] - still.ci95[0] < 1e-9
    assert moving.ci95[1] - moving.ci95[0] > 0.05


def test_activations_that_take_the_same_each_time_are_no_scatter():
    steps = np.where(np.arange(19) % 2, -0.1, 0.7)
    slope = slope_over_depth(gains_of(np.cumsum([-20.0, *steps])[None], ("Linear", "Sigmoid")), np.ones(1, bool))
    assert slope is not None
    assert slope.ci95[1] - slope.ci95[0] < 1e-9


def test_layers_without_a_gradient_are_left_out():
    """Where the gradient is below what float32 holds the line would be flat."""
    decades = np.maximum(-4.0 * np.arange(19, -1, -1.0), FLOOR)[None]
    slope = slope_over_depth(gains_of(decades), np.ones(1, bool))
    assert slope is not None
    assert slope.decades == pytest.approx(4.0)


def test_a_few_layers_have_no_slope():
    assert slope_over_depth(gains_of(np.zeros((5, 3))), np.ones(5, bool)) is None
    assert slope_over_depth(gains_of(np.full((5, 9), np.nan)), np.ones(5, bool)) is None


def test_the_words_tell_which_way_the_gradient_goes():
    up, down = (slope_over_depth(gains_of(sign * np.arange(12.0)[None] - 20), np.ones(1, bool)) for sign in (1, -1))
    assert up is not None
    assert down is not None
    assert "loses 1 decades a layer, a factor of 10" in (up.as_evidence().words or "")
    assert "gains 1 decades a layer" in (down.as_evidence().words or "")
    assert down.as_evidence().value == pytest.approx(-1)


@pytest.mark.parametrize(("freedom", "tolerance"), [(2, 0.01), (5, 2e-4), (50, 1e-6)])
def test_the_quantile_is_that_of_students_t(freedom: int, tolerance: float):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=tolerance)
