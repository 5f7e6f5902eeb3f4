"""Whether outputs, data, losses and metrics belong together."""

from __future__ import annotations

from typing import Any

import pytest


def linear(size: int) -> dict[str, Any]:
    return {"type": "Linear", "out_features": size}


CLASSES, TWO_CLASSES, NUMBERS = {"type": "wine"}, {"type": "moons"}, {"type": "diabetes"}
HEAD = "/model/layers/1/out_features"


@pytest.mark.parametrize(
    ("data", "loss", "outputs", "pointers"),
    [
        (CLASSES, "CrossEntropyLoss", 3, []),
        (CLASSES, "CrossEntropyLoss", 5, []),
        (CLASSES, "CrossEntropyLoss", 2, [HEAD]),
        (NUMBERS, "CrossEntropyLoss", 1, ["/loss/type"]),
        (TWO_CLASSES, "BCEWithLogitsLoss", 1, []),
        (TWO_CLASSES, "BCEWithLogitsLoss", 2, [HEAD]),
        (CLASSES, "BCEWithLogitsLoss", 1, ["/loss/type"]),
        (NUMBERS, "BCEWithLogitsLoss", 1, ["/loss/type"]),
        (NUMBERS, "MSELoss", 1, []),
        (NUMBERS, "MSELoss", 2, [HEAD]),
        (NUMBERS, "L1Loss", 10, [HEAD]),
        (NUMBERS, "HuberLoss", 10, [HEAD]),
        (CLASSES, "MSELoss", 1, []),
        (CLASSES, "MSELoss", 3, [HEAD]),
        (TWO_CLASSES, "L1Loss", 1, []),
    ],
)
def test_outputs_fit_data_and_loss(faults_of, data, loss, outputs, pointers):
    assert list(faults_of([linear(8), linear(outputs)], data=data, loss={"type": loss})) == pointers


def test_one_score_a_class_is_a_vector(faults_of):
    faults = faults_of([linear(10), {"type": "ReLU"}], data={"type": "digits", "flatten": False})
    assert list(faults) == ["/model/layers/0/out_features"]
    assert "[N, 1, 8, 10]" in faults["/model/layers/0/out_features"].detail


def test_class_weights_are_one_an_output(faults_of):
    loss = {"type": "CrossEntropyLoss", "weight": [1.0, 2.0]}
    assert list(faults_of([linear(10)], loss=loss)) == ["/loss/weight"]


@pytest.mark.parametrize(
    ("last", "pointer"),
    [
        ({"type": "Sequential", "layers": [linear(3), {"type": "ReLU"}]}, "/model/layers/0/layers/0/out_features"),
        ({"type": "Repeat", "times": 2, "layers": [linear(3)]}, "/model/layers/0/layers/0/out_features"),
        ({"type": "Residual", "layers": [linear(3)], "shortcut": [linear(3)]}, "/model/layers/0"),
    ],
)
def test_the_fault_stands_where_the_size_is_set(faults_of, last, pointer):
    assert list(faults_of([last, {"type": "Tanh"}])) == [pointer]


@pytest.mark.parametrize(
    ("data", "loss", "metrics", "pointers"),
    [
        (CLASSES, "CrossEntropyLoss", ["accuracy"], []),
        (CLASSES, "CrossEntropyLoss", ["accuracy", "mae"], ["/training/metrics/1"]),
        (NUMBERS, "MSELoss", ["r2", "mae"], []),
        (NUMBERS, "MSELoss", ["accuracy"], ["/training/metrics/0"]),
        (TWO_CLASSES, "MSELoss", ["accuracy"], []),
        (CLASSES, "MSELoss", ["accuracy"], ["/training/metrics/0"]),
    ],
)
def test_metrics_fit_the_task(faults_of, data, loss, metrics, pointers):
    size = 3 if loss == "CrossEntropyLoss" else 1
    assert list(faults_of([linear(size)], data=data, loss={"type": loss}, training={"metrics": metrics})) == pointers


class TestBatchNormalisation:
    LAYERS = ({"type": "BatchNorm1d"}, linear(10))

    def test_a_batch_of_one_has_no_variance(self, faults_of):
        assert list(faults_of([*self.LAYERS], training={"batch_size": 1})) == ["/training/batch_size"]

    def test_neither_has_a_single_row(self, faults_of):
        assert list(faults_of([*self.LAYERS], data={"type": "digits", "limit": 1})) == ["/data"]

    def test_a_single_row_to_validate_needs_running_statistics(self, faults_of):
        data = {"type": "digits", "limit": 5}
        assert faults_of([*self.LAYERS], data=data) == {}
        without = [{"type": "BatchNorm1d", "track_running_stats": False}, linear(10)]
        assert list(faults_of(without, data=data)) == ["/data/validation_split"]

    def test_several_values_a_channel_do(self, faults_of):
        images = {"type": "digits", "flatten": False}
        layers = [{"type": "Flatten", "start_dim": 2}, *self.LAYERS[:1], {"type": "Flatten"}, linear(10)]
        assert faults_of(layers, data=images, training={"batch_size": 1}) == {}
