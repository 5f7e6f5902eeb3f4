"""Small changes of a case: what they change, what they leave as it was, and that what comes out is a spec."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gradclinic.model import check_document
from tools.evaluation.case import read_cases
from tools.evaluation.perturbation import (
    KINDS,
    NotApplicableError,
    change_batch_size,
    change_depth,
    change_learning_rate,
    change_seed,
    change_width,
    perturbations_of,
)

ROOT = Path(__file__).resolve().parents[2]


def spec(*layers: dict[str, Any], data: str = "digits", **more: Any) -> dict[str, Any]:
    return {
        "model": {"layers": list(layers)},
        "data": {"type": data, "flatten": True} if data == "digits" else {"type": data},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        **more,
    }


def linear(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "Linear", "out_features": size, **more}


def changed(document: dict[str, Any], change: Any, *arguments: Any) -> dict[str, Any]:
    copied = copy.deepcopy(document)
    change(copied, *arguments)
    check_document(copied)
    return copied


def sizes(document: dict[str, Any]) -> list[int]:
    return [layer["out_features"] for layer in document["model"]["layers"] if "out_features" in layer]


RELU = {"type": "ReLU"}


@pytest.mark.parametrize(("factor", "wanted"), [(1.2, [77, 77, 36, 10]), (1 / 1.2, [53, 53, 25, 10])])
def test_width_scales_hidden_sizes_alike_and_leaves_the_answers(factor: float, wanted: list[int]):
    document = spec(linear(64), RELU, linear(64, in_features=64), RELU, linear(30), RELU, linear(10))
    assert sizes(changed(document, change_width, factor)) == wanted


def test_width_is_kept_where_heads_and_groups_divide_it_and_where_a_residual_adds_it():
    encoder = {"type": "TransformerEncoderLayer", "d_model": 32, "nhead": 4, "dim_feedforward": 64}
    document = {
        **spec(
            {"type": "Flatten", "start_dim": 1, "end_dim": 2}, linear(32), encoder, {"type": "LayerNorm", "normalized_shape": 32},
            {"type": "Residual", "layers": [linear(32), RELU, linear(32)]}, {"type": "Mean", "dim": 1}, linear(10),
        ),
        "data": {"type": "digits", "flatten": False},
    }  # fmt: skip
    for factor, width in ((1.2, 40), (1 / 1.2, 28)):
        _, wide, layer, *_ = changed(document, change_width, factor)["model"]["layers"]
        assert wide["out_features"] == width
        assert layer["dim_feedforward"] % 4 == 0


def test_a_size_too_small_to_round_away_changes_by_one():
    assert sizes(changed(spec(linear(2), RELU, linear(10)), change_width, 1.2)) == [3, 10]
    assert sizes(changed(spec(linear(2), RELU, linear(10)), change_width, 1 / 1.2)) == [1, 10]


@pytest.mark.parametrize(("times", "factor", "wanted"), [(3, 1.2, 4), (3, 0.8, 2), (10, 1.2, 12), (30, 0.8, 24)])
def test_depth_changes_the_turns_of_what_is_repeated(times: int, factor: float, wanted: int):
    document = spec({"type": "Repeat", "times": times, "layers": [linear(32), RELU]}, linear(10))
    assert changed(document, change_depth, factor)["model"]["layers"][0]["times"] == wanted


@pytest.mark.parametrize(("factor", "wanted"), [(1.2, 6), (0.8, 4)])
def test_depth_changes_equal_blocks_that_are_written_out(factor: float, wanted: int):
    document = spec(linear(48), RELU, *[linear(32), RELU] * 5, linear(10))
    assert sizes(changed(document, change_depth, factor)) == [48, *[32] * wanted, 10]


@pytest.mark.parametrize(
    ("document", "change", "argument", "why"),
    [
        (spec(linear(32), RELU, linear(32), RELU, linear(10)), change_depth, 1.2, "nothing in it is repeated 3 times"),
        (spec(linear(10)), change_width, 1.2, "no hidden layer"),
        (spec(linear(10), training={"batch_size": 1}), change_batch_size, 1.3, "a batch of 1"),
        (spec(linear(10), optimizer={"type": "SGD", "lr": 0.0}), change_learning_rate, 1.3, "learning rate is 0"),
        (spec() | {"model": {"type": "graph", "artifact": "a"}}, change_width, 1.2, "graph"),
    ],
)  # fmt: skip
def test_what_is_not_there_cannot_be_changed(document: dict[str, Any], change: Any, argument: float, why: str):
    with pytest.raises(NotApplicableError, match=why):
        change(copy.deepcopy(document), argument)


def test_the_seed_draws_everything_else_anew_and_the_rate_takes_its_schedule_along():
    document = spec(linear(10), scheduler={"type": "OneCycleLR", "max_lr": 0.2, "interval": "step"})
    seeded = changed(document, change_seed, 100)
    assert (seeded["training"]["seed"], seeded["data"]["seed"]) == (100, 100)
    faster = changed(document, change_learning_rate, 1.3)
    assert (faster["optimizer"]["lr"], faster["scheduler"]["max_lr"]) == pytest.approx((0.13, 0.26))


def test_the_batch_size_is_rounded_and_its_default_known():
    assert changed(spec(linear(10)), change_batch_size, 1.3)["training"]["batch_size"] == 83
    assert (
        changed(spec(linear(10), training={"batch_size": 8}), change_batch_size, 1 / 1.3)["training"]["batch_size"] == 6
    )


def test_every_change_of_every_case_is_a_valid_spec_that_differs_or_says_why_not():
    for case in read_cases(ROOT / "cases"):
        document = case.on_seed(0)
        found = list(perturbations_of(document))
        assert [one.kind for one in found] == list(KINDS)
        assert document == case.on_seed(0)
        for one in found:
            assert (one.document is None) == bool(one.why)
            assert one.document != document
            assert "refused" not in one.why, (case.id, one)
            if one.document is not None:
                check_document(one.document)
