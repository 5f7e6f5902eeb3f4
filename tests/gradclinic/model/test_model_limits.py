"""Specs that ask for too much are refused with the figure and the limit, at once and without allocating."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import pytest

from gradclinic.contract.limits import Limits
from gradclinic.errors import InvalidSpec
from gradclinic.model import resolve_spec

RELU = {"type": "ReLU"}


def linear(size: int) -> dict[str, Any]:
    return {"type": "Linear", "out_features": size}


def repeat(times: int, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Repeat", "times": times, "layers": list(layers)}


def seconds_to_resolve(spec) -> float:
    start = time.perf_counter()
    with contextlib.suppress(InvalidSpec):
        resolve_spec(spec)
    return time.perf_counter() - start


class TestLayers:
    def test_ten_thousand_are_refused_in_milliseconds(self, spec_of, faults_of):
        layers = [repeat(5000, linear(64), RELU)]
        faults = faults_of(layers)
        assert list(faults) == ["/model/layers"]
        assert "10,000 layers" in faults["/model/layers"].detail
        assert "1,000" in faults["/model/layers"].detail
        assert min(seconds_to_resolve(spec_of(layers)) for _ in range(5)) < 0.01

    def test_towers_of_repeats_are_counted_by_arithmetic(self, faults_of):
        tower = linear(10)
        for _ in range(25):
            tower = repeat(1_000_000, tower)
        assert "more than 10^15" in faults_of([tower])["/model/layers"].detail

    def test_a_thousand_repeated_ones_resolve_at_once(self, spec_of):
        spec = spec_of([repeat(499, linear(64), RELU), linear(10), RELU])
        assert resolve_spec(spec).layers_unrolled == 1000
        assert min(seconds_to_resolve(spec) for _ in range(3)) < 0.1

    def test_a_residual_counts_as_one_beside_its_layers(self, spec_of):
        spec = spec_of([{"type": "Residual", "layers": [linear(10)], "shortcut": [linear(10)]}])
        assert resolve_spec(spec).layers_unrolled == 3


@pytest.mark.parametrize(
    ("layers", "changes", "pointer"),
    [
        ([linear(100_000), linear(10_000), linear(10)], {}, "/model/layers"),
        ([linear(1_000_000), linear(1_000_000), linear(10)], {}, "/model/layers"),
        ([linear(200_000), RELU, linear(10)], {"training": {"batch_size": 1438}}, "/model"),
        ([linear(10)], {"training": {"steps": 1_000_000}}, "/training/steps"),
        ([linear(10)], {"training": {"epochs": 1_000_000}}, "/training/epochs"),
        ([linear(2000), linear(2000), linear(10)], {"training": {"steps": 100_000, "batch_size": 1000}}, "/training/steps"),
        ([linear(3)], {"data": {"type": "blobs", "samples": 1_000_000, "features": 1_000_000}}, "/data/samples"),
        ([linear(3)], {"data": {"type": "blobs", "samples": 1_000_000, "features": 51, "limit": 9}}, "/data/samples"),
        (
            [linear(3)],
            {"data": {"type": "blobs", "samples": 50, "features": 1_000_000}, "training": {"batch_size": 50}},
            "/training/batch_size",
        ),
        (
            [repeat(400, linear(64)), linear(10)],
            {"training": {"steps": 60_000, "batch_size": 1}, "recording": {"signals": {"grad_norm": 1}}},
            "/recording/every",
        ),
        ([linear(64), linear(10)], {"training": {"steps": 100_000, "evaluate_every": 1}}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_too_much_is_refused_at_its_place(faults_of, layers, changes, pointer):
    faults = faults_of(layers, **changes)
    if pointer is None:
        assert faults == {}
    else:
        assert pointer in faults
        assert "the limit here is" in faults[pointer].detail or "at most" in (faults[pointer].expected or "")


def test_evaluations_count_as_work(faults_of):
    data = {"type": "blobs", "samples": 500_000, "features": 50, "validation_split": 0.9}
    layers = [linear(64), linear(3)]
    assert faults_of(layers, data=data) == {}
    faults = faults_of(layers, data=data, training={"steps": 90_000, "evaluate_every": 1})
    assert list(faults) == ["/training/steps"]


def test_a_training_over_the_time_limit_is_refused_with_both(faults_of):
    layers = [repeat(400, linear(4)), linear(10)]
    for length in ("steps", "epochs"):
        faults = faults_of(layers, Limits(max_seconds=0.5), training={length: 90})
        assert list(faults) == [f"/training/{length}"]
        assert "seconds; the limit here is 0.5" in faults[f"/training/{length}"].detail
    assert faults_of(layers, training={"steps": 90}) == {}
    assert "limit here is 3,600" in faults_of(layers, training={"steps": 99_999})["/training/steps"].detail


def test_targets_count_as_data(faults_of):
    blobs = {"type": "blobs", "samples": 10_000, "features": 2, "classes": 10_000}
    layers = [linear(10_000)]
    assert list(faults_of(layers, data=blobs | {"one_hot": True})) == ["/data/one_hot"]
    sequences = {"type": "copy_memory", "samples": 50_000, "length": 500}
    assert "52,000,000 numbers" in faults_of(layers, data=sequences)["/data/samples"].detail


def test_scores_of_the_training_part_count_as_memory(faults_of):
    """They are all there at once where the predictor is judged that ignores its input."""
    blobs = {"type": "blobs", "samples": 100_000, "features": 2, "classes": 10_000, "validation_split": 0.01}
    faults = faults_of([linear(10_000)], data=blobs, training={"steps": 9})
    assert list(faults) == ["/model"]
    assert faults_of([linear(10_000)], data=blobs | {"samples": 10_000}, training={"steps": 9}) == {}


@pytest.mark.parametrize(
    ("layer", "window"),
    [
        ({"type": "MaxPool2d", "kernel_size": 3, "stride": 1}, 9),
        ({"type": "AvgPool2d", "kernel_size": [2, 4]}, 8),
        ({"type": "AdaptiveAvgPool2d", "output_size": 2}, 16),
    ],
)
def test_a_pooling_computes_with_all_of_its_window(spec_of, layer, window):
    spec = spec_of([layer, {"type": "Flatten"}, linear(10)], data={"type": "digits", "flatten": False})
    pooling = resolve_spec(spec).layers[0]
    assert pooling.flops_per_step == 3 * 64 * window * math.prod(pooling.output_shape)


def test_steps_are_counted_as_they_are_trained(spec_of):
    """A last batch of one row is joined to the one before, where a batch normalization could not take it."""
    blobs = {"type": "blobs", "samples": 65, "validation_split": 0.0}
    for norm, steps in (([], 4), ([{"type": "BatchNorm1d"}], 2)):
        resolved = resolve_spec(spec_of([*norm, linear(3)], data=blobs, training={"epochs": 2}))
        assert (resolved.steps, resolved.steps_per_epoch) == (steps, steps // 2)


def test_a_layer_that_no_memory_holds_ends_the_arithmetic(faults_of):
    faults = faults_of([linear(1_000_000), linear(1_000_000)], training={"batch_size": 1100})
    assert list(faults) == ["/model/layers/0"]
    assert "4,400,000,000 bytes" in faults["/model/layers/0"].detail


@pytest.mark.parametrize(
    ("verification", "pointer", "figure"),
    [
        ({"fixes": "all", "seeds": 20, "budget": 10_000}, "budget", "10,000"),
        ({"budget": 200.5}, "budget", "201"),
        ({"fixes": "all", "seeds": 20}, "seeds", "479"),
        ({"fixes": 100, "seeds": 9}, "seeds", "215"),
        ({"fixes": "all", "seeds": 20, "budget": 200}, None, ""),
        ({"fixes": "all", "seeds": 8}, None, ""),
        ({"fixes": 8, "seeds": 20}, None, ""),
        ({"fixes": 0, "budget": 10_000}, None, ""),
    ],
)
def test_a_proof_of_hundreds_of_trainings_is_refused_with_both(faults_of, verification, pointer, figure):
    faults = faults_of([linear(10)], verification=verification)
    assert list(faults) == ([f"/verification/{pointer}"] if pointer else [])
    for fault in faults.values():
        assert f"{figure} trainings; the limit here is 200" in fault.detail


def test_nothing_is_proven_of_what_is_not_trained(faults_of):
    assert faults_of([linear(10)], training={"steps": 0}, verification={"budget": 10_000}) == {}


def test_a_deployment_sets_its_own_limits(faults_of):
    assert list(faults_of([linear(10)], Limits(max_trials=13))) == ["/verification/seeds"]
    assert faults_of([linear(10)], Limits(max_trials=14)) == {}
    limits = Limits(max_layers=1, max_parameters=600, max_steps=399)
    assert list(faults_of([linear(10)], limits)) == ["/training/steps"]
    assert list(faults_of([linear(10)], limits, training={"steps": 399})) == ["/model/layers"]
    assert list(faults_of([RELU, linear(9)], limits, training={"steps": 399})) == ["/model/layers"]


def test_resolving_ends_when_its_time_is_up(faults_of):
    faults = faults_of([linear(10)], Limits(resolve_seconds=1e-9))
    assert list(faults) == ["/model/layers"]
    assert "longer than" in faults["/model/layers"].detail


def test_a_preflight_has_no_steps_and_still_takes_time_and_room(spec_of):
    layers = [linear(64), RELU, linear(10)]
    nothing, one = (resolve_spec(spec_of(layers, training={"steps": steps})) for steps in (0, 1))
    assert (nothing.steps, nothing.history_numbers > one.history_numbers) == (0, True)
    assert 0.05 < nothing.seconds_estimate < 1
    assert one.memory_bytes < nothing.memory_bytes < 4 * one.memory_bytes
