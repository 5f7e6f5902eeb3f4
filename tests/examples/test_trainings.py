"""Each example is trained for real: twice to the same history, and with the outcome that it is there to show."""

from __future__ import annotations

import gzip
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gradclinic.contract.parse import load_json, parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.files import Files
from gradclinic.history import History
from gradclinic.training import train

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))

pytestmark = pytest.mark.slow


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = load_json((EXAMPLES / f"{name}.json").read_bytes())
    return loaded


@cache
def history(name: str) -> History:
    return train(parse_spec(document(name))).history


def metric(name: str) -> float:
    outcome = history(name).facts.outcome
    assert outcome is not None
    assert outcome.metric is not None
    assert outcome.metric.value is not None
    return outcome.metric.value


def val_loss(name: str) -> float:
    outcome = history(name).facts.outcome
    assert outcome is not None
    assert outcome.val_loss is not None
    return outcome.val_loss


def assert_same(first: History, second: History) -> None:
    assert first.facts == second.facts
    assert list(first.tables) == list(second.tables)
    for signal, table in first.tables.items():
        assert np.array_equal(table.steps, second[signal].steps)
        assert np.array_equal(table.values, second[signal].values, equal_nan=True), signal


def health(name: str) -> str:
    return diagnose(history(name)).health


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_are_one_history(name: str):
    first, second = history(name), train(parse_spec(document(name))).history
    assert_same(first, second)


def test_the_linear_model_fits_its_two_targets():
    assert metric("linear-10-2") > 0.9


def test_a_relu_after_the_last_layer_costs_accuracy():
    assert metric("digits-120") > 0.85
    assert metric("digits-relu-at-the-end") < metric("digits-120") - 0.02


def test_learning_rates_of_the_regression_order_as_they_should():
    assert metric("regression-adam-0.01") > 0.95
    assert metric("regression-adam-0.001") > 0.95
    assert metric("regression-adam-0.0001") < metric("regression-adam-0.001")
    assert metric("regression-sgd-0.01") > 0.9


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("deep-regression")])
def test_deep_regressions_learn_with_every_loss_and_optimizer(name: str):
    assert health(name) == "healthy"
    assert "mae" in history(name).tables
    assert "r2" in history(name).tables


@pytest.mark.parametrize("name", ["deep-residual", "deep-dense", "deep-batch-norm"])
def test_what_lets_the_gradient_pass_trains_where_the_plain_net_does_not(name: str):
    assert health("deep-plain") == "critical"
    assert health(name) == "healthy"
    assert metric(name) > metric("deep-plain") + 0.5


@pytest.mark.parametrize("name", ["moons-l1", "moons-l2", "moons-dropout", "moons-early-stopping"])
def test_what_holds_a_net_back_lowers_the_validation_loss(name: str):
    assert val_loss(name) < val_loss("moons-overfit")


@pytest.mark.parametrize(
    "name", ["digits-step-decay", "digits-warmup-cosine", "digits-clipping", "convnet", "transformer"]
)
def test_these_are_healthy(name: str):
    assert health(name) == "healthy"
    assert metric(name) > 0.9


def test_the_lstm_remembers_and_the_rnn_does_not():
    assert metric("adding-problem-lstm") > 0.8
    assert metric("adding-problem-rnn") < 0.5
    assert health("adding-problem-rnn") == "critical"


def test_exp_as_an_activation_explodes():
    assert health("exp-activation") == "critical"


@pytest.fixture
def digit_files(tmp_path: Path) -> Files:
    """The digits as a folder of images, and in MNIST's own format, plain and packed."""
    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
    for number, (picture, label) in enumerate(zip(pixels[:600], labels[:600], strict=True)):
        folder = tmp_path / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    packed = struct.pack(">IIII", 0x803, len(pixels), 8, 8) + pixels.tobytes()
    (tmp_path / "images.gz").write_bytes(gzip.compress(packed))
    (tmp_path / "labels").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())
    return Files(root=tmp_path)


@pytest.mark.parametrize("name", ["digits-120", "digits-relu-at-the-end"])
@pytest.mark.parametrize(
    "data",
    [
        {"type": "image_folder", "path": "digits", "size": 8, "grayscale": True},
        {"type": "idx", "images": "images.gz", "labels": "labels"},
    ],
    ids=["image_folder", "idx"],
)
def test_the_digits_train_over_files_as_well_and_twice_alike(name: str, data: dict[str, Any], digit_files: Files):
    spec = document(name)
    spec["data"] = data
    spec["model"]["layers"].insert(0, {"type": "Flatten"})
    first, second = (train(parse_spec(spec), files=digit_files).history for _ in range(2))
    assert_same(first, second)
    losses = first["val_loss"].values[:, 0]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("path", ["digits", "images.gz"])
def test_the_corrected_digits_are_learned_from_files(path: str, digit_files: Files):
    """With a larger rate: pixels of a file are read as 0 to 1, which makes slower steps than the digits as they are shipped."""
    spec = document("digits-120")
    folder = {"type": "image_folder", "path": path, "size": 8, "grayscale": True}
    spec["data"] = folder if path == "digits" else {"type": "idx", "images": path, "labels": "labels"}
    spec["model"]["layers"].insert(0, {"type": "Flatten"})
    spec["optimizer"]["lr"] = 0.1
    outcome = train(parse_spec(spec), files=digit_files).history.facts.outcome
    assert outcome is not None
    assert outcome.metric is not None
    assert outcome.metric.value is not None
    assert outcome.metric.value > 0.85
