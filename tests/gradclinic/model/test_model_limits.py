"""Specs that ask for too much are refused with the figure and the limit, at once and without allocating."""

from __future__ import annotations

import contextlib
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
        ([repeat(400, linear(64)), linear(10)], {"training": {"steps": 60_000, "batch_size": 1}}, "/recording/every"),
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


def test_a_layer_that_no_memory_holds_ends_the_arithmetic(faults_of):
    faults = faults_of([linear(1_000_000), linear(1_000_000)], training={"batch_size": 1100})
    assert list(faults) == ["/model/layers/0"]
    assert "4,400,000,000 bytes" in faults["/model/layers/0"].detail


def test_a_deployment_sets_its_own_limits(faults_of):
    limits = Limits(max_layers=1, max_parameters=600, max_steps=399)
    assert list(faults_of([linear(10)], limits)) == ["/training/steps"]
    assert list(faults_of([linear(10)], limits, training={"steps": 399})) == ["/model/layers"]
    assert list(faults_of([RELU, linear(9)], limits, training={"steps": 399})) == ["/model/layers"]


def test_resolving_ends_when_its_time_is_up(faults_of):
    faults = faults_of([linear(10)], Limits(resolve_seconds=1e-9))
    assert list(faults) == ["/model/layers"]
    assert "longer than" in faults["/model/layers"].detail
