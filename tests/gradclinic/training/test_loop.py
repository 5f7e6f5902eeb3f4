"""Training a spec: deterministic, complete, and honest about how it ended."""

import copy
import math

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.errors import TrainingCancelled
from gradclinic.history import CHUNK_STEPS, concatenate
from gradclinic.training import Observer, train
from gradclinic.training.batches import batches
from gradclinic.training.data import Part

SPEC = {
    "model": {
        "layers": [
            {"type": "Linear", "out_features": 16},
            {"type": "BatchNorm1d"},
            {"type": "ReLU"},
            {"type": "Dropout", "p": 0.2},
            {"type": "Linear", "out_features": 10},
        ]
    },
    "data": {"type": "digits"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 60},
}


def spec_with(**parts):
    return parse_spec({**copy.deepcopy(SPEC), **parts})


def assert_same(one, other):
    assert list(one.tables) == list(other.tables)
    for name, table in one.tables.items():
        assert table.subjects == other[name].subjects
        assert np.array_equal(table.steps, other[name].steps)
        assert np.array_equal(table.values, other[name].values, equal_nan=True), name


def test_the_same_spec_and_seed_give_the_same_history():
    torch.manual_seed(123)
    first = train(spec_with())
    torch.rand(5)  # whatever else draws from the global generator does not matter
    second = train(spec_with())
    assert_same(first.history, second.history)
    assert first.history.facts == second.history.facts
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_training_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train(spec_with())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_gives_another_history():
    losses = [train(spec_with(), seed=seed).history["loss"].series() for seed in (0, 1)]
    assert not np.array_equal(*losses)


def test_recording_less_gives_the_same_weights():
    full = train(spec_with())
    sparse = train(spec_with(recording={"every": 7, "signals": {"update_ratio": 0, "activation_grad_norm": 0}}))
    for one, other in zip(full.network.parameters(), sparse.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_chunks_join_to_the_whole_history():
    class Keep(Observer):
        def __init__(self):
            self.parts, self.steps = [], []

        def on_chunk(self, part):
            self.parts.append(part)

        def on_step(self, done):
            self.steps.append(done)

    keep = Keep()
    trained = train(spec_with(training={"steps": 2 * CHUNK_STEPS + 30}), observer=keep)
    assert len(keep.parts) == 3
    assert_same(concatenate(keep.parts), trained.history)
    assert keep.steps == list(range(1, 2 * CHUNK_STEPS + 31))


def test_a_training_stops_between_two_steps_when_asked():
    class StopAt(Observer):
        done = 0

        def on_step(self, done):
            self.done = done

        def should_stop(self):
            return self.done == 7

    observer = StopAt()
    with pytest.raises(TrainingCancelled, match="after 7 of 60 steps"):
        train(spec_with(), observer=observer)
    assert observer.done == 7


def test_epochs_count_whole_passes_and_evaluation_is_once_each():
    history = train(spec_with(training={"epochs": 2})).history
    per_epoch = math.ceil(1438 / 64)
    assert history["loss"].steps.tolist() == list(range(2 * per_epoch))
    assert history["val_loss"].steps.tolist() == [per_epoch - 1, 2 * per_epoch - 1]
    assert history.facts.outcome.metric.name == "accuracy"


def test_the_last_step_is_always_evaluated():
    history = train(spec_with(training={"steps": 25, "evaluate_every": 10})).history
    assert history["val_loss"].steps.tolist() == [9, 19, 24]


def test_a_training_that_diverges_ends_with_a_history():
    trained = train(
        spec_with(
            model={"layers": [{"type": "Linear", "out_features": 1}]},
            data={"type": "linear_regression"},
            loss={"type": "MSELoss"},
            optimizer={"type": "SGD", "lr": 100.0},
        )
    )
    assert trained.history["loss"].steps.tolist() == list(range(60))
    assert not np.isfinite(trained.history["loss"].series()[-1])
    assert trained.history.facts.outcome.val_loss is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("loss", "outputs", "data"),
    [
        ("CrossEntropyLoss", 2, {"type": "breast_cancer"}),
        ("BCEWithLogitsLoss", 1, {"type": "moons", "noise": 0.1}),
        ("BCEWithLogitsLoss", 1, {"type": "circles", "factor": 0.3}),
        ("MSELoss", 1, {"type": "diabetes", "normalize_target": True}),
        ("L1Loss", 1, {"type": "linear_regression"}),
        ("HuberLoss", 1, {"type": "linear_regression", "bias": 2.0}),
    ],
)
def test_losses_learn_and_beat_the_trivial_predictor(loss, outputs, data, reduction):
    spec = spec_with(
        model={
            "layers": [
                {"type": "Linear", "out_features": 32},
                {"type": "Tanh"},
                {"type": "Linear", "out_features": outputs},
            ]
        },
        data=data,
        loss={"type": loss, "reduction": reduction},
        optimizer={"type": "Adam", "lr": 0.01},
        training={"steps": 200},
    )
    facts = train(spec).history.facts
    assert facts.outcome.val_loss < facts.trivial.val_loss
    assert facts.outcome.metric.value > (facts.trivial.metric or 0)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop"])
def test_every_optimizer_takes_its_own_defaults(optimizer):
    assert train(spec_with(optimizer={"type": optimizer}, training={"steps": 3})).history["lr"].series()[0] > 0


@pytest.mark.parametrize("data", ["breast_cancer", "wine", "iris"])
def test_shipped_tables_train(data):
    facts = train(spec_with(data={"type": data}, training={"steps": 100})).history.facts
    assert facts.outcome.metric.value >= 0.8


def test_blobs_train():
    model = {"layers": [{"type": "Linear", "out_features": 5}]}
    history = train(spec_with(model=model, data={"type": "blobs", "classes": 5, "features": 4})).history
    assert history.facts.outcome.metric.value > 0.8


def test_clipping_is_recorded_and_bounds_the_update():
    spec = spec_with(training={"steps": 20, "clip_grad_norm": 0.01}, optimizer={"type": "SGD", "lr": 1.0})
    history = train(spec).history
    assert history["clipped"].series().tolist() == [1.0] * 20
    assert history["grad_norm"].series().min() > 0.01  # measured before the clipping
    weights = ["layers.0.weight", "layers.4.weight"]
    moved = history["update_ratio"].of(weights).values * history["weight_norm"].of(weights).values
    assert np.sum(moved**2, axis=1).max() ** 0.5 <= 0.0101


def test_clipping_by_value_is_recorded():
    history = train(spec_with(training={"steps": 5, "clip_grad_value": 1e9})).history
    assert history["clipped"].series().tolist() == [0.0] * 5


def test_an_l1_penalty_shrinks_weights_and_stays_out_of_the_loss():
    plain = train(spec_with()).history
    penalised = train(spec_with(training={"steps": 60, "l1": 0.01})).history
    assert penalised["loss"].series()[0] == plain["loss"].series()[0]
    last = [h["weight_norm"].series("layers.0.weight")[-1] for h in (plain, penalised)]
    assert last[1] < 0.9 * last[0]


def test_a_last_batch_of_one_sample_is_joined_where_a_batch_normalisation_would_break():
    part = Part(torch.arange(9.0)[:, None], torch.zeros(9))
    generator = torch.Generator().manual_seed(0)
    stream = batches(part, 4, generator, join_single=True)
    assert [len(next(stream)[0]) for _ in range(4)] == [4, 5, 4, 5]
    kept = batches(part, 4, generator, join_single=False)
    assert [len(next(kept)[0]) for _ in range(3)] == [4, 4, 1]


def test_each_epoch_shows_every_row_once_in_a_new_order():
    part = Part(torch.arange(10.0)[:, None], torch.zeros(10))
    stream = batches(part, 3, torch.Generator().manual_seed(0), join_single=False)
    epochs = [torch.cat([next(stream)[0] for _ in range(4)]).flatten().tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def test_a_frozen_layer_does_not_move():
    layers = copy.deepcopy(SPEC["model"]["layers"])
    layers[0]["frozen"] = True
    trained = train(spec_with(model={"layers": layers}))
    assert "layers.0.weight" not in trained.history["grad_norm"].subjects
    fresh = train(spec_with(model={"layers": layers}, optimizer={"type": "SGD", "lr": 0.0}))
    names = dict(fresh.network.named_parameters())
    for name, parameter in trained.network.named_parameters():
        assert torch.equal(parameter, names[name]) == name.startswith("layers.0.")


def test_a_batch_normalisation_without_running_statistics_can_be_evaluated():
    layers = copy.deepcopy(SPEC["model"]["layers"])
    layers[1]["track_running_stats"] = False
    data = {"type": "blobs", "samples": 2051, "validation_split": 0.5}  # 1025 rows: one more than a batch
    assert train(spec_with(model={"layers": layers}, data=data)).history.facts.outcome.val_loss is not None


def test_classes_can_be_fitted_as_numbers():
    spec = spec_with(
        model={"layers": [{"type": "Linear", "out_features": 1}]}, data={"type": "breast_cancer"}, loss={"type": "MSELoss"},
        optimizer={"type": "Adam", "lr": 0.01}, training={"steps": 200},
    )  # fmt: skip
    assert train(spec).history.facts.outcome.metric.value > 0.9
