"""How a training can end: early, by an error of PyTorch's, or on a device that is not there."""

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.errors import DeviceUnavailable
from gradclinic.history import concatenate
from gradclinic.training import Observer, train


def spec(**parts):
    document = {
        "model": {
            "layers": [{"type": "Linear", "out_features": 128}, {"type": "ReLU"}, {"type": "Linear", "out_features": 2}]
        },
        "data": {"type": "moons", "samples": 200, "noise": 0.6, "validation_split": 0.5},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "training": {"steps": 300, "evaluate_every": 10},
    }
    return parse_spec({**document, **parts})


def stopping(**keywords):
    return spec(training={"steps": 300, "evaluate_every": 10, "early_stopping": keywords})


def test_a_training_ends_when_patience_runs_out():
    history = train(stopping(patience=3)).history
    losses = history["val_loss"].series()
    outcome = history.facts.outcome
    assert outcome.steps == 10 * len(losses) < 300
    assert np.argmin(losses) == len(losses) - 4
    assert outcome.val_loss == pytest.approx(losses[-1])
    assert outcome.best_val_loss == pytest.approx(losses.min())
    assert history["loss"].steps[-1] == outcome.steps - 1


class EndsAt(Observer):
    """Ends a training after so many steps, and keeps what it heard of it."""

    def __init__(self, step):
        self.step, self.done, self.evaluated, self.parts = step, 0, [], []

    def on_step(self, done):
        self.done = done

    def on_chunk(self, part):
        self.parts.append(part)

    def on_evaluation(self, values, done):
        self.evaluated.append((done, values["val_loss"]))

    def should_end(self):
        return self.done >= self.step


@pytest.mark.parametrize("step", [35, 40, 100, 137])
def test_an_observer_ends_a_training_as_early_stopping_does(step):
    observer = EndsAt(step)
    history = train(spec(), observer=observer).history
    outcome = history.facts.outcome
    assert outcome.steps == step
    assert history["loss"].steps[-1] == step - 1
    assert [done for done, _ in observer.evaluated] == [*range(10, step, 10), step]
    assert outcome.val_loss == observer.evaluated[-1][1]
    # Whatever reached the result was handed over, too.
    assert int(history["val_loss"].steps[-1]) == step - 1
    handed = concatenate(observer.parts)
    assert all(np.array_equal(handed[signal].steps, history[signal].steps) for signal in history.tables)


def test_an_ended_training_took_the_same_steps_as_a_whole_one():
    whole, ended = train(spec()).history, train(spec(), observer=EndsAt(137)).history
    assert np.array_equal(whole["loss"].series()[:137], ended["loss"].series())
    assert np.array_equal(whole["weight_norm"].between(0, 137).values, ended["weight_norm"].values, equal_nan=True)


def test_an_observer_that_watches_changes_no_bit_of_a_training():
    alone, watched = train(spec()), train(spec(), observer=EndsAt(10**9))
    assert all(
        torch.equal(one, other)
        for one, other in zip(alone.network.parameters(), watched.network.parameters(), strict=True)
    )


def test_the_best_weights_come_back_only_when_asked():
    kept, restored = train(stopping(patience=3)), train(stopping(patience=3, restore_best=True))
    assert restored.history.facts.outcome.val_loss == pytest.approx(restored.history.facts.outcome.best_val_loss)
    assert restored.history.facts.outcome.val_loss < kept.history.facts.outcome.val_loss
    assert any(
        not torch.equal(one, other)
        for one, other in zip(kept.network.parameters(), restored.network.parameters(), strict=True)
    )


def test_a_metric_can_be_monitored_and_min_delta_counts():
    by_metric = train(stopping(monitor="accuracy", patience=2)).history.facts.outcome
    assert by_metric.steps < 300
    impatient = train(stopping(patience=1, min_delta=10.0)).history.facts.outcome
    assert impatient.steps == 10 * 2


def test_an_error_of_pytorchs_in_the_middle_is_an_outcome_with_its_words():
    document = spec(
        model={"layers": [{"type": "Linear", "out_features": 1}]},
        data={"type": "breast_cancer"},
        loss={"type": "BCELoss"},
    )
    history = train(document).history
    assert history.facts.error is not None
    assert history.facts.outcome.steps == history.facts.error.step
    diagnosis = diagnose(history)
    finding = diagnosis.findings[0]
    assert (finding.rule, finding.severity) == ("training_error", "critical")
    assert "between 0 and 1" in finding.evidence[0].words
    assert diagnosis.health == "critical"


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "Linear", "out_features": 8}, {"type": "Sigmoid"}, {"type": "ReLU", "inplace": True}],
        [{"type": "Linear", "out_features": 8}, {"type": "Tanh"}, {"type": "Dropout", "inplace": True}],
    ],
)
def test_layers_that_overwrite_what_another_needs_end_as_an_outcome(layers):
    model = {"layers": [*layers, {"type": "Linear", "out_features": 2}]}
    error = train(spec(model=model)).history.facts.error
    assert error is not None
    assert "inplace" in error.message


def test_a_learning_rate_that_no_tensor_can_hold_is_refused_before():
    with pytest.raises(Exception, match="lr"):
        spec(optimizer={"type": "Adam", "lr": 1e39})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_told_in_words():
    with pytest.raises(DeviceUnavailable, match='"device": "cpu"'):
        train(spec(training={"steps": 1, "device": "cuda"}))


def test_a_sum_over_the_batch_does_not_make_an_untrained_model_healthy():
    document = spec(
        model={"layers": [{"type": "Linear", "out_features": 10}]},
        data={"type": "digits"},
        loss={"type": "CrossEntropyLoss", "reduction": "sum"},
        optimizer={"type": "SGD", "lr": 0.0},
        training={"steps": 30},
    )
    assert diagnose(train(document).history).health == "critical"


def test_ten_epochs_are_ten_passes_also_where_a_last_sample_is_joined():
    model = {
        "layers": [
            {"type": "Linear", "out_features": 4},
            {"type": "BatchNorm1d"},
            {"type": "Linear", "out_features": 2},
        ]
    }
    data = {"type": "blobs", "classes": 2, "samples": 65, "validation_split": 0.0}
    history = train(spec(model=model, data=data, training={"epochs": 10})).history
    assert history.facts.outcome.steps == 10


def test_what_early_stopping_monitors_is_evaluated():
    document = spec(
        model={"layers": [{"type": "Linear", "out_features": 1}]},
        data={"type": "diabetes"},
        loss={"type": "MSELoss"},
        training={"steps": 60, "early_stopping": {"monitor": "mae", "patience": 1}},
    )
    history = train(document).history
    assert history.facts.metric == "r2"
    assert "mae" in history.tables


def test_a_machine_without_memory_is_no_outcome_of_the_training(monkeypatch):
    forward = torch.nn.Linear.forward

    def full(layer, inputs):
        if inputs.device.type == "meta":  # shapes are worked out without memory
            return forward(layer, inputs)
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch.nn.Linear, "forward", full)
    with pytest.raises(MemoryError, match="allocate"):
        train(spec())
