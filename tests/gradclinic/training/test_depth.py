"""The drift of gradient and signal over depth, against what mean field theory says of wide random networks."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize

from gradclinic.contract.parse import parse_spec
from gradclinic.training import train
from gradclinic.training.depth import slope_of

WIDTH, DEPTH = 256, 16


def slopes(activation, weight_std, bias_std=0.0):
    """Look at a deep chain whose weights are drawn with `weight_std` / sqrt(inputs)."""
    turn = [{"type": "Linear", "out_features": WIDTH}, {"type": activation}]
    init = {
        "weight": {"type": "normal_", "std": weight_std / math.sqrt(WIDTH)},
        "bias": {"type": "normal_", "std": bias_std},
    }
    document = {
        "model": {
            "layers": [{"type": "Repeat", "times": DEPTH, "layers": turn}, {"type": "Linear", "out_features": 10}],
            "init": init,
        },
        "data": {"type": "gaussian_quantiles", "samples": 300, "features": WIDTH, "classes": 10},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "training": {"steps": 0},
    }
    preflight = train(parse_spec(document)).history.facts.preflight
    return preflight.gradient, preflight.signal


def gauss(function):
    """Return E[f(z)] of z ~ N(0, 1)."""
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731 - an integrand
    return integrate.quad(lambda z: density(z) * function(z), -10, 10)[0]


def chi(weight_std, bias_std):
    """Return the factor of a squared gradient in a layer of tanh at its fixed point (Schoenholz et al. 2017, equations 3 and 6)."""

    def next_variance(q):
        return weight_std**2 * gauss(lambda z: math.tanh(math.sqrt(q) * z) ** 2) + bias_std**2

    q = optimize.brentq(lambda q: next_variance(q) - q, 1e-6, 10.0)
    return weight_std**2 * gauss(lambda z: math.cosh(math.sqrt(q) * z) ** -4)


@pytest.mark.parametrize("weight_std", [0.7, 1.0, 1.3])
def test_a_linear_chain_multiplies_by_the_weights_deviation(weight_std):
    gradient, signal = slopes("Identity", weight_std)
    assert gradient.layers == signal.layers == DEPTH
    assert gradient.per_layer == pytest.approx(math.log10(weight_std), abs=0.005)
    assert signal.per_layer == pytest.approx(math.log10(weight_std), abs=0.005)
    low, high = gradient.ci95
    assert low < gradient.per_layer < high
    assert high - low < 0.02


@pytest.mark.parametrize(("weight_std", "bias_std"), [(0.9, 0.3), (1.5, 0.3), (2.5, 0.1)])
def test_a_tanh_chain_follows_mean_field_theory(weight_std, bias_std):
    gradient, _ = slopes("Tanh", weight_std, bias_std)
    assert gradient.per_layer == pytest.approx(math.log10(chi(weight_std, bias_std)) / 2, abs=0.03)


def test_in_the_ordered_phase_samples_become_alike():
    _, signal = slopes("Tanh", 0.9, 0.5)
    assert signal.per_layer == pytest.approx(math.log10(chi(0.9, 0.5)) / 2, abs=0.03)
    _, chaotic = slopes("Tanh", 3.0)
    assert abs(chaotic.per_layer) < 0.03


def test_the_interval_of_a_drift_holds_it_about_as_often_as_it_says():
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        lines = [np.cumsum(draw.normal(-0.1, 0.05, 12)) for _ in range(3)]
        slope = slope_of(lines, backward=False)
        held += slope.ci95[0] <= -0.1 <= slope.ci95[1]
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_a_walk_back_begins_at_the_last_layer():
    lines = [np.array([-3.0, -2.0, -1.0, 0.0])] * 3
    assert slope_of(lines, backward=True).per_layer == -1.0
    assert slope_of(lines, backward=False).per_layer == 1.0


def test_too_few_layers_have_no_slope_and_what_is_unknown_is_left_out():
    assert slope_of([np.array([0.0, 1.0])], backward=False) is None
    assert slope_of([], backward=False) is None
    assert slope_of([np.full(5, np.nan)], backward=False) is None
    slope = slope_of([np.array([0.0, 1.0, 2.0, np.nan, np.nan])], backward=False)
    assert (slope.per_layer, slope.layers) == (1.0, 5)
    assert slope_of([np.array([0.0, 1.0, np.nan])], backward=False).ci95 is None
