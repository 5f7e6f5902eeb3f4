"""Diagnoses of real trainings: what is found, what it follows from, and what brings it about."""

import json
import pathlib

import numpy as np
import pytest
import torch
from torch import nn

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.history import History, SignalTable
from gradclinic.recorder import Recorder
from gradclinic.training import train

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"


def digits(layers, lr=0.1, optimizer="SGD", init=None, steps=250, **training):
    return {
        "model": {"layers": [*layers, {"type": "Linear", "out_features": 10}], **({"init": init} if init else {})},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": optimizer, "lr": lr},
        "training": {"steps": steps, **training},
    }


def repeated(times, *turn):
    return {"type": "Repeat", "times": times, "layers": list(turn)}


def linear(size=48, **more):
    return {"type": "Linear", "out_features": size, **more}


def found(document, **thresholds):
    diagnosis = diagnose(train(parse_spec(document)).history, thresholds)
    return diagnosis, {finding.rule: finding for finding in diagnosis.findings}


@pytest.mark.slow
def test_the_deep_sigmoid_example_is_told_with_layers_and_cause():
    diagnosis, findings = found(json.loads((EXAMPLES / "deep-sigmoid-digits.json").read_text()))
    finding = findings["vanishing_gradient"]
    assert diagnosis.health == finding.severity == "critical"
    assert finding.layers[0] == "layers.0"
    assert "layers.3" not in finding.layers
    assert finding.cause.what == "activation"
    assert "Sigmoid" in finding.cause.detail
    assert finding.cause.share > 0.9
    assert finding.first_step == 0
    assert findings["loss_not_decreasing"].caused_by == "vanishing_gradient"
    assert diagnosis.findings[0].rule == "vanishing_gradient"


def test_the_healthy_example_is_healthy():
    diagnosis, _ = found(json.loads((EXAMPLES / "healthy-digits.json").read_text()))
    assert diagnosis.health == "healthy"
    assert diagnosis.outcome.metric.value > 0.95


def test_weights_drawn_too_wide_explode_and_are_the_cause():
    diagnosis, findings = found(json.loads((EXAMPLES / "exploding-normal-init.json").read_text()))
    assert diagnosis.health == "critical"
    assert findings["exploding_gradient"].cause.what == "weights"
    assert findings["non_finite"].caused_by == "exploding_gradient"
    assert findings["non_finite"].layers


@pytest.mark.parametrize(
    ("layers", "init"),
    [
        ([repeated(12, linear(), {"type": "ReLU"})], None),
        (
            [repeated(8, linear(), {"type": "Tanh"})],
            {"weight": {"type": "normal_", "std": 0.02}, "bias": {"type": "zeros_"}},
        ),
    ],
)
def test_weights_too_small_are_the_cause_of_vanishing(layers, init):
    _, findings = found(digits(layers, init=init))
    assert findings["vanishing_gradient"].cause.what == "weights"


def test_what_passes_through_many_mild_layers_is_lost_to_depth():
    scale = {"type": "xavier_normal_", "gain": 0.92}
    _, findings = found(digits([repeated(80, linear())], init={"weight": scale, "bias": {"type": "zeros_"}}, steps=60))
    assert findings["vanishing_gradient"].cause.what == "depth"


def test_an_optimizer_that_rescales_makes_the_symptom_an_info():
    document = digits([repeated(3, linear(), {"type": "Sigmoid"})], optimizer="Adam", lr=0.01, steps=400)
    diagnosis, findings = found(document, vanishing_gain=0.3)
    assert diagnosis.health == "healthy"
    assert findings["vanishing_gradient"].severity == "info"


def test_a_gradient_that_grows_from_step_to_step_is_blamed_on_the_learning_rate():
    document = {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 5.0},
    }
    _, findings = found(document)
    assert findings["exploding_gradient"].cause.what == "learning_rate"
    assert findings["exploding_gradient"].first_step < findings["non_finite"].first_step


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([repeated(12, linear(), {"type": "BatchNorm1d"}, {"type": "ReLU"})], marks=pytest.mark.slow),
        [linear(), {"type": "BatchNorm1d"}, {"type": "ReLU"}],
        [repeated(4, linear(), {"type": "LayerNorm"}, {"type": "ReLU"})],
        [linear(), repeated(10, {"type": "Residual", "layers": [linear(), {"type": "Tanh"}]})],
    ],
    ids=["deep-batch-norm", "bias-before-batch-norm", "layer-norm", "residual"],
)
def test_what_trains_well_is_healthy_whatever_its_gradients_look_like(layers):
    diagnosis, _ = found(digits(layers, optimizer="Adam", lr=0.003))
    assert diagnosis.health == "healthy"


def test_a_model_at_chance_level_is_never_healthy():
    diagnosis, findings = found(digits([linear(), {"type": "ReLU"}], lr=0.0, steps=50))
    assert diagnosis.health == "critical"
    assert findings["loss_not_decreasing"].severity == "critical"


def test_a_spike_of_nan_that_ends_the_training_is_critical_with_its_layers():
    diagnosis, findings = found(digits([linear(), {"type": "ReLU"}], lr=1e20, steps=30))
    assert diagnosis.health == "critical"
    assert findings["non_finite"].layers


def test_thresholds_can_be_overridden():
    document = digits([repeated(10, linear(), {"type": "Sigmoid"})])
    _, findings = found(document, vanishing_gain=1e-30)
    assert "vanishing_gradient" not in findings
    assert findings["loss_not_decreasing"].caused_by is None


def test_what_a_constant_would_reach_perfectly_and_the_model_does_not_is_not_healthy():
    document = {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "coefficients": [0.0] * 10, "bias": 3.0},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.0},
        "training": {"steps": 20},
    }
    assert found(document)[0].health == "critical"


def test_where_nothing_can_be_compared_a_note_says_so():
    losses = SignalTable(np.arange(20), ("",), np.full((20, 1), -1.0))
    assert any("not known" in note for note in diagnose(History({"loss": losses})).notes)


@pytest.mark.parametrize("lr", [5.0, 20.0])
def test_steps_that_throw_the_weights_away_are_blamed_on_the_learning_rate(lr):
    diagnosis, findings = found(digits([linear(), {"type": "ReLU"}], lr=lr))
    assert diagnosis.health == "critical"
    told = [finding.cause.what for finding in findings.values() if finding.cause]
    assert told
    assert set(told) == {"learning_rate"}


def test_activations_that_are_called_as_functions_are_not_blamed_on_the_weights_alone():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(20, 20) for _ in range(16)])

        def forward(self, x):
            for layer in self.layers:
                x = torch.sigmoid(layer(x))
            return x

    torch.manual_seed(0)
    model = Deep()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(torch.randn(16, 20)), torch.randint(0, 20, (16,)))
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    finding = next(f for f in diagnose(recorder.history).findings if f.rule == "vanishing_gradient")
    assert "functions" in finding.cause.detail


def test_growth_is_seen_where_the_parameters_norms_alone_were_recorded():
    steps = np.arange(100)
    growing = 1.2**steps
    history = History(
        {
            "loss": SignalTable(steps, ("",), growing[:, None]),
            "grad_norm": SignalTable(steps, ("a.weight", "a.bias"), np.column_stack([growing, growing])),
            "activation_grad_norm": SignalTable(steps, ("a",), growing[:, None]),
        }
    )
    rules = {finding.rule for finding in diagnose(history).findings}
    assert "exploding_gradient" in rules


def losses_only(values):
    losses = np.asarray(values, np.float64)
    return History({"loss": SignalTable(np.arange(len(losses)), ("",), losses[:, None])})


def test_a_training_that_was_thrown_away_by_its_first_steps_is_not_healthy():
    """The loss jumps before it was written down five times: what it jumped to is no start to compare with."""
    diagnosis = diagnose(losses_only([2.32, 3012.0, 6_537_632.0, 5_000_000.0, 4_000_000.0, *[160.0] * 195]))
    assert diagnosis.health == "critical"
    assert diagnosis.findings[0].rule == "loss_not_decreasing"


def test_a_loss_that_fell_by_little_is_a_warning_where_nobody_knows_how_far_it_could():
    noise = np.random.default_rng(0).normal(0, 0.01, 60)
    diagnosis = diagnose(losses_only(np.linspace(2.31, 1.81, 60) + noise))
    found = {finding.rule: finding for finding in diagnosis.findings}
    assert diagnosis.health == "warning"
    assert "fell from 2." in found["loss_not_decreasing"].summary
    assert diagnose(losses_only(np.full(60, 2.31) + noise)).health == "critical"
    assert diagnose(losses_only(np.linspace(2.31, 0.2, 60) + noise)).health == "healthy"
