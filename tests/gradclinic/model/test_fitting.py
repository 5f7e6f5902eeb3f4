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


STEPS = {"type": "copy_memory", "length": 5}
ONE_HOT = {"type": "wine", "one_hot": True}
TWO_ONE_HOT = {"type": "moons", "one_hot": True}
SEVERAL = {"type": "inline", "x": [[0.0], [1.0], [2.0]], "y": [[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]]}


@pytest.mark.parametrize(
    ("data", "loss", "outputs", "pointers"),
    [
        (CLASSES, "NLLLoss", 3, []),
        (CLASSES, "NLLLoss", 2, [HEAD]),
        (NUMBERS, "NLLLoss", 1, ["/loss/type"]),
        (ONE_HOT, "NLLLoss", 3, ["/data/one_hot"]),
        (ONE_HOT, "CrossEntropyLoss", 3, []),
        (ONE_HOT, "CrossEntropyLoss", 4, [HEAD]),
        (TWO_CLASSES, "BCELoss", 1, []),
        (TWO_CLASSES, "BCELoss", 2, [HEAD]),
        (TWO_ONE_HOT, "BCELoss", 2, []),
        (ONE_HOT, "BCEWithLogitsLoss", 3, []),
        (ONE_HOT, "BCEWithLogitsLoss", 1, [HEAD]),
        (ONE_HOT, "MSELoss", 3, []),
        (ONE_HOT, "MSELoss", 1, [HEAD]),
        (NUMBERS, "SmoothL1Loss", 1, []),
        (NUMBERS, "SmoothL1Loss", 2, [HEAD]),
        (NUMBERS, "PoissonNLLLoss", 1, []),
        (CLASSES, "PoissonNLLLoss", 1, []),
        (CLASSES, "PoissonNLLLoss", 3, [HEAD]),
        (SEVERAL, "MSELoss", 2, []),
        (SEVERAL, "MSELoss", 1, [HEAD]),
        (ONE_HOT, "KLDivLoss", 3, []),
        (ONE_HOT, "KLDivLoss", 1, [HEAD]),
        (CLASSES, "KLDivLoss", 3, ["/data/one_hot"]),
        (NUMBERS, "KLDivLoss", 1, ["/loss/type"]),
        (SEVERAL, "KLDivLoss", 2, []),
    ],
)
def test_outputs_fit_every_loss(faults_of, data, loss, outputs, pointers):
    assert list(faults_of([linear(8), linear(outputs)], data=data, loss={"type": loss})) == pointers


@pytest.mark.parametrize(
    ("loss", "outputs", "shape", "fits"),
    [
        ("CrossEntropyLoss", 250, [25, 10], True),
        ("NLLLoss", 300, [25, 12], True),
        ("CrossEntropyLoss", 225, [25, 9], False),
        ("CrossEntropyLoss", 250, [10, 25], False),
        ("CrossEntropyLoss", 10, [10], False),
        ("MSELoss", 25, [25], True),
        ("MSELoss", 25, [25, 1], True),
        ("MSELoss", 250, [25, 10], False),
        ("BCELoss", 25, [25], None),
    ],
)
def test_outputs_fit_a_class_a_step(faults_of, loss, outputs, shape, fits):
    unflatten = {"type": "Unflatten", "dim": 1, "unflattened_size": shape}
    pointers = {True: [], False: ["/model/layers/1"], None: ["/loss/type"]}[fits]
    assert list(faults_of([linear(outputs), unflatten], data=STEPS, loss={"type": loss})) == pointers


def test_an_ignored_index_needs_indices(faults_of):
    loss = {"type": "CrossEntropyLoss", "ignore_index": 0}
    assert list(faults_of([linear(3)], data=ONE_HOT, loss=loss)) == ["/loss/ignore_index"]
    assert faults_of([linear(3)], data=CLASSES, loss=loss) == {}


@pytest.mark.parametrize(
    ("layers", "pointer"),
    [
        ([{"type": "GRU", "hidden_size": 2}, {"type": "Select", "dim": 1}], "/model/layers/0/hidden_size"),
        ([linear(2), {"type": "LayerNorm"}, {"type": "Mean", "dim": 1}], "/model/layers/0/out_features"),
        ([linear(2), {"type": "Mean", "dim": -1}], "/model/layers/1"),
        ([linear(4), {"type": "Dense", "times": 1, "dim": 2, "layers": [linear(1)]}], "/model/layers/1"),
    ],
)
def test_the_key_that_sets_the_size_is_named(faults_of, layers, pointer):
    data = {"type": "adding_problem", "length": 5}
    assert list(faults_of(layers, data=data, loss={"type": "MSELoss"})) == [pointer]


def test_stopping_early_watches_what_can_be_known(faults_of):
    for monitor, pointers in (("accuracy", []), ("val_loss", []), ("r2", ["/training/early_stopping/monitor"])):
        training = {"early_stopping": {"monitor": monitor}}
        assert list(faults_of([linear(3)], data=CLASSES, training=training)) == pointers


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

    @pytest.mark.parametrize(("kind", "rank"), [("BatchNorm2d", 2), ("BatchNorm3d", 3)])
    def test_a_picture_of_one_point_has_none_either(self, faults_of, kind, rank):
        points = {"type": "Unflatten", "dim": 1, "unflattened_size": [64] + [1] * rank}
        layers = [points, {"type": kind}, {"type": "Flatten"}, linear(10)]
        assert list(faults_of(layers, training={"batch_size": 1})) == ["/training/batch_size"]
        assert faults_of(layers) == {}

    def test_several_values_a_channel_do(self, faults_of):
        images = {"type": "digits", "flatten": False}
        layers = [{"type": "Flatten", "start_dim": 2}, *self.LAYERS[:1], {"type": "Flatten"}, linear(10)]
        assert faults_of(layers, data=images, training={"batch_size": 1}) == {}
