from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.errors import InvalidSpec
from gradclinic.fixes import apply_patch
from gradclinic.fixes.patch import set_value
from tests.gradclinic.fixes.sick import OUTPUT, spec_of


def test_a_patch_gives_a_new_document_and_leaves_both_its_sources_alone():
    document, value = spec_of(OUTPUT), {"type": "Linear", "out_features": 3}
    patch = [
        {"op": "add", "path": "/model/layers/0", "value": value},
        {"op": "replace", "path": "/model/layers/0/out_features", "value": 7},
    ]
    patched = apply_patch(document, patch)
    assert patched["model"]["layers"] == [{"type": "Linear", "out_features": 7}, OUTPUT]
    assert (document, value["out_features"]) == (spec_of(OUTPUT), 3)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/model/layers/7"},
        {"op": "replace", "path": "/training/steps", "value": 1},
        {"op": "add", "path": "/name/x", "value": 1},
        {"op": "test", "path": "/loss", "value": 1},
        {"op": "leap", "path": "/loss"},
        {"op": "move", "path": "/loss"},
        {"path": "/loss"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": 5},
    ],
)
def test_a_patch_that_does_not_apply_says_so(operation: dict[str, Any]):
    with pytest.raises(InvalidSpec, match="The patch does not apply"):
        apply_patch(spec_of(OUTPUT, name="x"), [operation])


def test_a_patch_to_an_invalid_spec_is_refused_at_its_place():
    with pytest.raises(InvalidSpec) as refused:
        apply_patch(spec_of(OUTPUT), [{"op": "replace", "path": "/optimizer/lr", "value": -1.0}])
    assert [fault.pointer for fault in refused.value.faults] == ["/optimizer/lr"]


VALUES = (
    *("add", "copy", "move", "remove", "replace", "test", "", "/", "/model", "/model/layers/0", "/model/layers/-"),
    *("/name/0", "/~2", None, 1, [], {"type": "SGD"}),
)


@given(st.lists(st.dictionaries(st.sampled_from(("op", "path", "from", "value")), st.sampled_from(VALUES)), max_size=3))
def test_no_patch_ends_in_another_error(patch: list[dict[str, Any]]):
    with contextlib.suppress(InvalidSpec):
        apply_patch(spec_of(OUTPUT, name="x"), patch)


def test_objects_that_stand_in_two_places_are_changed_in_one():
    shared = {"type": "Linear", "out_features": 10}
    patched = apply_patch(spec_of(shared, shared), [{"op": "add", "path": "/model/layers/0/bias", "value": False}])
    assert patched["model"]["layers"] == [{**shared, "bias": False}, shared]


@pytest.mark.parametrize(
    ("document", "operations"),
    [
        ({}, [("add", "/training", {}), ("add", "/training/l1", 0.5)]),
        ({"training": None}, [("replace", "/training", {}), ("add", "/training/l1", 0.5)]),
        ({"training": {}}, [("add", "/training/l1", 0.5)]),
        ({"training": {"l1": None}}, [("replace", "/training/l1", 0.5)]),
        ({"training": {"l1": 0.5}}, []),
        ({"training": {"l1": True}}, [("replace", "/training/l1", 0.5)]),
    ],
)
def test_setting_a_value_adds_missing_parents_first(document: dict[str, Any], operations: list[Any]):
    made = set_value(document, ("training", "l1"), 0.5)
    assert [(operation["op"], operation["path"], operation["value"]) for operation in made] == operations
