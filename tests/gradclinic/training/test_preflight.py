"""A training of 0 steps: what it measures, from which seeds, and what it leaves as it was."""

import copy
import math
from typing import get_args

import numpy as np
import pytest
import torch

from gradclinic.contract.optimizer import Optimizer
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.preflight import MOST_BATCHES, SEEDS
from gradclinic.errors import TrainingCancelled
from gradclinic.training import Observer, train
from gradclinic.training.evaluation import evaluate
from gradclinic.training.setup import make_setup

OPTIMIZERS = [member.__name__ for member in get_args(get_args(Optimizer)[0])]
HIDDEN = {"type": "Linear", "out_features": 24}


def spec(*layers, outputs=10, data=None, optimizer=None, loss=None, training=None, **more):
    return {
        "model": {"layers": [*(layers or (HIDDEN, {"type": "ReLU"})), {"type": "Linear", "out_features": outputs}]},
        "data": data or {"type": "digits"},
        "loss": loss or {"type": "CrossEntropyLoss"},
        "optimizer": optimizer or {"type": "SGD", "lr": 0.1},
        "training": {"steps": 0, **(training or {})},
        **more,
    }


def look(document, observer=None):
    history = train(parse_spec(document), observer=observer).history
    return history, history.facts.preflight


def test_it_takes_a_few_batches_of_several_seeds_and_no_step():
    history, preflight = look(spec(training={"seed": 5}))
    assert preflight.seeds == [5, 6, 7]
    assert preflight.batches == len(history["loss"].steps) == MOST_BATCHES
    assert preflight.samples >= 512
    assert len(preflight.initial_losses) == len(preflight.losses_after_step) == SEEDS
    assert (history.facts.steps_planned, history.facts.outcome.steps) == (0, 0)
    # Every row starts from the same weights.
    norms = history["weight_norm"].values
    np.testing.assert_array_equal(norms, np.broadcast_to(norms[0], norms.shape))


def test_the_network_is_left_as_it_was_initialized_and_judged_so():
    document = spec({"type": "Linear", "out_features": 8}, {"type": "BatchNorm1d"}, {"type": "Dropout", "p": 0.5})
    parsed = parse_spec(document)
    trained, fresh = train(parsed), make_setup(parsed, 0)
    for name, value in fresh.network.state_dict().items():
        assert torch.equal(trained.network.state_dict()[name], value), name
    assert all(parameter.grad is None for parameter in trained.network.parameters())
    outcome = trained.history.facts.outcome
    assert {"val_loss": outcome.val_loss, "accuracy": outcome.metric.value} == evaluate(fresh)
    assert outcome.train_loss == pytest.approx(float(trained.history["loss"].series().mean()))


def test_each_seed_has_a_network_of_its_own():
    _, preflight = look(spec())
    for seed, loss in zip(preflight.seeds, preflight.initial_losses, strict=True):
        setup = make_setup(parse_spec(spec()), seed)
        with torch.no_grad():
            whole = setup.criterion(setup.network(setup.data.train.inputs), setup.data.train.targets)
        assert loss == pytest.approx(float(whole), rel=0.05)
    assert len(set(preflight.initial_losses)) == SEEDS


def test_the_same_spec_gives_the_same_bits_and_leaves_the_generators_alone():
    document = spec(HIDDEN, {"type": "Dropout", "p": 0.3}, {"type": "Tanh"})
    before = torch.random.get_rng_state()
    (one, preflight), (other, again) = look(document), look(document)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert preflight == again
    for name, table in one.tables.items():
        assert table.values.tobytes() == other[name].values.tobytes()


def test_another_seed_begins_where_the_first_went_on():
    (_, first), (_, second) = look(spec()), look(spec(training={"seed": 1}))
    assert first.initial_losses[1:] == second.initial_losses[:2]
    assert first.sharpness.values[1:] == second.sharpness.values[:2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_any_optimizer_is_taken_back(name):
    history, preflight = look(spec(optimizer={"type": name}))
    norms = history["weight_norm"].values
    np.testing.assert_array_equal(norms, np.broadcast_to(norms[0], norms.shape))
    assert all(math.isfinite(loss) for loss in preflight.losses_after_step)
    assert (preflight.sharpness.border is not None) == (name == "SGD")


def test_the_first_step_is_the_one_that_a_training_takes():
    document = spec(optimizer={"type": "Adam", "lr": 0.01}, training={"clip_grad_norm": 0.5})
    before = look(document)[0]
    steps = copy.deepcopy(document) | {"training": {"steps": 1, "clip_grad_norm": 0.5}}
    after = train(parse_spec(steps)).history
    for signal in ("loss", "grad_norm", "update_ratio", "clipped", "activation_grad_norm"):
        np.testing.assert_array_equal(before[signal].values[0], after[signal].values[0], err_msg=signal)


@pytest.mark.parametrize(
    ("optimizer", "border"),
    [
        ({"lr": 0.1}, 20.0),
        ({"lr": 0.1, "momentum": 0.9}, 38.0),
        ({"lr": 0.1, "momentum": 0.9, "nesterov": True}, 38.0 / 2.8),
        ({"lr": 0.1, "momentum": 0.9, "dampening": 0.9}, None),
        ({"lr": 0.0}, None),
    ],
)
def test_the_border_is_that_of_the_optimizer(optimizer, border):
    _, preflight = look(spec(optimizer={"type": "SGD", **optimizer}))
    assert preflight.sharpness.border == (None if border is None else pytest.approx(border))


def test_the_border_parts_steps_that_shrink_from_steps_that_grow():
    """On a quadratic loss, with all rows in one batch, gradient descent diverges right above it."""
    for factor, grows in ((0.9, False), (1.1, True)):
        document = spec(
            {"type": "Identity"},
            outputs=1,
            data={"type": "linear_regression", "samples": 50, "features": 3, "validation_split": 0.0},
            loss={"type": "MSELoss"},
            training={"batch_size": 50},
        )
        lr = 2 * factor / look(document)[1].sharpness.values[0]
        document |= {"optimizer": {"type": "SGD", "lr": lr}}
        assert (look(document)[1].sharpness.values[0] > look(document)[1].sharpness.border) == grows
        losses = train(parse_spec(document | {"training": {"steps": 300, "batch_size": 50}})).history["loss"].series()
        assert (losses[-1] > losses[0]) == grows


def test_a_schedule_is_at_its_first_rate():
    cycle = {"type": "OneCycleLR", "max_lr": 0.5, "interval": "step"}
    _, preflight = look(spec(optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9}, scheduler=cycle))
    assert preflight.lr == pytest.approx(0.5 / 25)
    assert preflight.rises
    _, falling = look(spec(scheduler={"type": "StepLR", "step_size": 1}))
    assert (falling.lr, falling.rises) == (0.1, False)


@pytest.mark.parametrize("batch_size", [1, 7, 600])
def test_units_are_judged_by_many_samples_whatever_the_batch(batch_size):
    dead = {"bias": {"type": "constant_", "val": -30.0}}
    layers = [{**HIDDEN, "init": dead}, {"type": "ReLU"}]
    history, preflight = look(spec(*layers, training={"batch_size": batch_size}))
    assert [(found.layer, found.shares) for found in preflight.born_dead] == [("layers.1", [1.0] * SEEDS)]
    assert history["dead_fraction"].values[-1] == 1.0
    assert look(spec(training={"batch_size": batch_size}))[1].born_dead == []


def test_weights_behind_zeros_get_a_gradient_after_a_step_and_those_before_a_wall_never():
    zeros = {"weight": {"type": "zeros_"}, "bias": {"type": "zeros_"}}
    document = spec()
    document["model"]["layers"][-1] |= {"init": zeros}
    assert look(document)[1].still_zero == []
    wall = [HIDDEN, {"type": "Dropout", "p": 1.0}, HIDDEN, {"type": "ReLU"}]
    assert look(spec(*wall))[1].still_zero == ["layers.0.weight", "layers.2.weight"]


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "LSTM", "hidden_size": 6, "output": "last"}],
        [{"type": "GRU", "hidden_size": 6}, {"type": "Mean", "dim": 1}],
        [{"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 8}, {"type": "Mean", "dim": 1}],
        [{"type": "MultiheadAttention", "num_heads": 2}, {"type": "Mean", "dim": 1}],
    ],
    ids=lambda layers: layers[0]["type"],
)
def test_sequences_can_be_looked_at(layers):
    rows = {"type": "Flatten", "start_dim": 1, "end_dim": 2}
    _, preflight = look(spec(rows, *layers, data={"type": "digits", "flatten": False}))
    assert len(preflight.sharpness.values) == SEEDS
    assert all(math.isfinite(value) for value in preflight.sharpness.values)
    assert preflight.notes == []


def test_what_pytorch_raises_is_a_part_of_it():
    document = spec({"type": "Identity"}, outputs=1, data={"type": "breast_cancer"}, loss={"type": "BCELoss"})
    history, preflight = look(document)
    assert history.facts.error.step == 0
    assert preflight.seeds == [0]
    assert preflight.sharpness is None
    assert history.facts.outcome.steps == 0


def test_the_rows_come_in_one_chunk_and_no_step_is_told():
    class Watcher(Observer):
        def __init__(self):
            self.planned, self.steps, self.parts = [], [], []

        def on_start(self, planned):
            self.planned.append(planned)

        def on_step(self, done):
            self.steps.append(done)

        def on_chunk(self, part):
            self.parts.append(part)

    watcher = Watcher()
    history, _ = look(spec(), watcher)
    assert (watcher.planned, set(watcher.steps)) == ([0], {0})
    assert [part.tables.keys() for part in watcher.parts] == [history.tables.keys()]


@pytest.mark.parametrize("asks", [1, 5, 40])
def test_it_stops_when_asked(asks):
    class Impatient(Observer):
        left = asks

        def should_stop(self):
            self.left -= 1
            return self.left <= 0

    with pytest.raises(TrainingCancelled):
        look(spec(), Impatient())
