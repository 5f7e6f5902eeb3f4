"""Combinations of a sweep: their order, their specs, their faults, and which is best."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.contract import combinations
from gradclinic.contract.combinations import best_first, best_of, check_combinations, combinations_of, compared_by
from gradclinic.contract.diagnosis import Metric, Outcome
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.sweep import SweepRow
from gradclinic.errors import Fault, InvalidSpec

BASE: dict[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}, {"type": "ReLU"}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}


def documents_of(sweep: Any, **more: Any) -> list[dict[str, Any]]:
    return [made.document for made in combinations_of(BASE | more | {"sweep": sweep}, 100)]


def faults_of(sweep: Any, **more: Any) -> list[Fault]:
    with pytest.raises(InvalidSpec) as refused:
        check_combinations(combinations_of(BASE | more | {"sweep": sweep}, 100), parse_spec)
    return list(refused.value.faults)


def test_the_last_pointer_changes_fastest():
    made = combinations_of(BASE | {"sweep": {"/b": [1, 2], "/a": ["x", "y"], "/c": [None]}}, 100)
    assert [tuple(one.values.values()) for one in made] == list(itertools.product([1, 2], ["x", "y"], [None]))
    assert [one.number for one in made] == [0, 1, 2, 3]
    assert str(made[1]) == "/b = 1, /a = y, /c = null".replace("y", '"y"')


def test_a_value_replaces_is_added_and_brings_its_missing_parents():
    (one,) = documents_of({"/optimizer/lr": [1], "/name": ["x"], "/training/early_stopping/patience": [3]})
    assert one == BASE | {
        "optimizer": {"type": "SGD", "lr": 1},
        "name": "x",
        "training": {"early_stopping": {"patience": 3}},
    }


def test_a_parent_that_is_null_becomes_an_object():
    (one,) = documents_of({"/scheduler/type": ["StepLR"], "/scheduler/step_size": [5]}, scheduler=None)
    assert one["scheduler"] == {"type": "StepLR", "step_size": 5}


def test_items_of_lists_are_replaced():
    first, second = documents_of({"/model/layers/1": [{"type": "Tanh"}], "/model/layers/0/out_features": [5, 7]})
    assert first["model"]["layers"] == [{"type": "Linear", "out_features": 5}, {"type": "Tanh"}]
    assert second["model"]["layers"][0]["out_features"] == 7
    assert BASE["model"]["layers"][1] == {"type": "ReLU"}


def test_a_later_pointer_goes_into_an_earlier_ones_value():
    found = documents_of({"/optimizer": [{"type": "SGD", "lr": 1}, {"type": "Adam"}], "/optimizer/lr": [0.1, 0.2]})
    assert [one["optimizer"] for one in found] == [
        {"type": "SGD", "lr": 0.1},
        {"type": "SGD", "lr": 0.2},
        {"type": "Adam", "lr": 0.1},
        {"type": "Adam", "lr": 0.2},
    ]


def test_one_and_one_point_zero_and_true_are_three_values():
    found = documents_of({"/name": [1, 1.0, True]}, name=1)
    assert [json.dumps(one["name"]) for one in found] == ["1", "1.0", "true"]


def test_keys_with_slashes_and_tildes_are_reached():
    (one,) = documents_of({"/labels/a~1b~0c": ["x"]})
    assert one["labels"] == {"a/b~c": "x"}


@pytest.mark.parametrize(
    ("sweep", "pointer", "said"),
    [
        ({"/optimizer/lr/x": [1]}, "/sweep/~1optimizer~1lr~1x", "/optimizer/lr: This is a single value"),
        ({"/model/layers/2": [{}]}, "/sweep/~1model~1layers~12", "no item '2' in this list of 2"),
        ({"/model/layers/-": [{}]}, "/sweep/~1model~1layers~1-", "no item '-'"),
        ({"/model/layers/01": [{}]}, "/sweep/~1model~1layers~101", "no item '01'"),
        ({"/optimizer/lr": [1, 2, 1]}, "/sweep/~1optimizer~1lr/2", "1 is item 0 already"),
        ({"/optimizer/lr": [1], "/optimizer": [{}]}, "/sweep/~1optimizer", "would overwrite those of /optimizer/lr"),
        ({"/a~2": [1]}, "/sweep/~1a~02", "no JSON pointer"),
        ({"/sweep": [1]}, "/sweep/~1sweep", "does not sweep over itself"),
        ({"": [1]}, "/sweep/", "no JSON pointer"),
        ({f"/{key}": [1] for key in range(17)}, "/sweep", "17 entries"),
        ({"/name": ["\0"]}, "/sweep/~1name/0", "NUL"),
    ],
)
def test_a_sweep_that_leads_nowhere_says_so(sweep: Any, pointer: str, said: str):
    (fault,) = faults_of(sweep)
    assert fault.pointer == pointer
    assert said in fault.detail


def test_all_pointers_that_lead_nowhere_are_told_at_once():
    assert len(faults_of({"/optimizer/lr/x": [1], "/model/layers/9": [{}], "/name": ["a", "b"]})) == 2


def test_a_fault_is_told_once_where_it_was_posted_with_its_combinations():
    faults = faults_of({"/optimizer/lr": [0.1, -1.0], "/training/seed": [0, 1, 2]})
    assert [(fault.pointer, fault.expected) for fault in faults] == [
        ("/sweep/~1optimizer~1lr/1", "greater than or equal to 0")
    ]
    assert faults[0].detail.endswith("Combination 3 (/optimizer/lr = -1.0, /training/seed = 0), and 2 more.")


def test_a_fault_inside_of_a_swept_object_is_found_inside_of_it():
    (fault,) = faults_of({"/optimizer": [{"type": "SGD", "lr": 1}, {"type": "SGD", "lr": "fast"}]})
    assert fault.pointer == "/sweep/~1optimizer/1/lr"


def test_a_fault_that_a_swept_value_causes_elsewhere_stands_there():
    layers = [{"type": "Linear", "out_features": 3, "name": "a"}, {"type": "ReLU", "name": "b"}]
    (fault,) = faults_of({"/model/layers/0/name": ["a", "b"]}, model={"layers": layers})
    assert fault.pointer == "/model/layers/1/name"
    assert fault.detail.endswith('Combination 1 (/model/layers/0/name = "b").')


def test_a_fault_of_all_combinations_is_the_specs_own():
    (fault,) = faults_of({"/training/seed": [0, 1]}, nonsense=1)
    assert (fault.pointer, "Combination" in fault.detail) == ("/nonsense", False)


def test_data_in_the_spec_cannot_be_copied_without_end():
    x = [[0.123456789] * 10] * 1000
    (fault,) = faults_of({"/training/seed": list(range(100)), "/name": ["a"]}, data={"type": "inline", "x": x * 2})
    assert fault.pointer == "/sweep"
    assert "characters" in fault.detail


def test_checking_ends_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(combinations, "CHECK_SECONDS", 0.05)
    made = combinations_of(BASE | {"sweep": {"/training/seed": list(range(100))}}, 100)
    with pytest.raises(InvalidSpec, match=r"took longer than 0\.05 s after [1-9] of 100"):
        check_combinations(made, lambda _: time.sleep(0.02))


KEYS = st.sampled_from(
    ("model", "layers", "0", "1", "type", "lr", "optimizer", "", "~", "a/b", "-", "training", "seed")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(("SGD", "\0", 0.5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=3,
)
POINTERS = st.lists(KEYS, max_size=4).map(lambda keys: "".join(f"/{key}" for key in keys))


@given(st.dictionaries(POINTERS, st.lists(VALUES, max_size=3) | VALUES, max_size=3) | VALUES)
def test_no_sweep_ends_in_another_error_or_changes_the_document(sweep: Any):
    document = BASE | {"sweep": sweep}
    before = copy.deepcopy(document)
    with contextlib.suppress(InvalidSpec):
        check_combinations(combinations_of(document, 100), parse_spec)
    assert document == before


def row(
    number: int, metric: float | None = None, *, val_loss: float | None = None, name: str | None = None
) -> SweepRow:
    measured = None if name is None else Metric(name=name, value=metric)
    return SweepRow(
        number=number,
        values={"/x": number},
        job=f"job-{number}",
        status="succeeded",
        health="healthy",
        outcome=Outcome(train_loss=1.0, val_loss=val_loss, metric=measured, steps=1),
        findings=[],
    )


UNTRAINED = SweepRow(number=9, values={}, job="job-9", status="queued", health=None, outcome=None, findings=[])


@pytest.mark.parametrize(
    ("name", "values", "order"),
    [
        ("accuracy", [0.5, 0.9, 0.7], [1, 2, 0]),
        ("r2", [-5.0, 0.1, None], [1, 0, 2]),
        ("mae", [3.0, math.nan, 1.0], [2, 0, 1]),
        ("accuracy", [0.9, 0.9, 0.5], [0, 1, 2]),
    ],
)
def test_rows_are_sorted_by_the_metric_they_share(name: str, values: list[float | None], order: list[int]):
    rows = [row(number, value, name=name) for number, value in enumerate(values)]
    by = compared_by({"/x": []}, [UNTRAINED, *rows])
    assert by == name
    assert [one.number for one in best_first([*rows, UNTRAINED], by)] == [*order, 9]
    assert best_of([UNTRAINED, *rows], by) == f"job-{order[0]}"


def test_without_a_metric_the_validation_loss_compares_unless_the_loss_is_swept():
    rows = [row(0, val_loss=2.0), row(1, val_loss=1.0), row(2)]
    assert compared_by({"/optimizer/lr": []}, rows) == "val_loss"
    assert best_of(rows, "val_loss") == "job-1"
    for place in ("/loss", "/loss/type"):
        assert compared_by({place: []}, rows) is None
    assert best_of(rows, None) is None


def test_different_metrics_compare_nothing():
    rows = [row(0, 0.5, name="accuracy"), row(1, 0.5, name="mae")]
    assert compared_by({}, rows) is None
    assert compared_by({}, [UNTRAINED]) is None
    assert [one.number for one in best_first([UNTRAINED, *rows], None)] == [9, 0, 1]
