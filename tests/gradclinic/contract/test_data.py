"""What follows about a data set without loading it."""

import pytest

from gradclinic.contract.file_data import Inline
from gradclinic.contract.generated_data import Blobs, CopyMemory, LinearRegression
from gradclinic.contract.parse import parse_document
from gradclinic.contract.shipped_data import Digits
from gradclinic.errors import InvalidSpec
from gradclinic.files import facts_of


def test_digits_flattened_and_as_images():
    assert facts_of(parse_document(Digits, {"type": "digits"})).input_shape == (64,)
    assert facts_of(parse_document(Digits, {"type": "digits", "flatten": False})).input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("keywords", "train", "validation"),
    [
        ({}, 1438, 359),
        ({"limit": 100}, 80, 20),
        ({"validation_split": 0.0}, 1797, 0),
        ({"limit": 1, "validation_split": 0.3}, 1, 0),
    ],
)
def test_rows_are_limited_and_then_split(keywords, train, validation):
    facts = facts_of(parse_document(Digits, {"type": "digits", **keywords}))
    assert (facts.train, facts.validation) == (train, validation)


def test_task_follows_from_the_targets():
    assert facts_of(parse_document(Blobs, {"type": "blobs"})).task == "classification"
    facts = facts_of(parse_document(LinearRegression, {"type": "linear_regression"}))
    assert (facts.task, facts.targets, facts.classes) == ("regression", 1, None)


def test_tokens_and_sequences_say_what_they_are():
    facts = facts_of(parse_document(CopyMemory, {"type": "copy_memory", "length": 5}))
    assert (facts.input_shape, facts.target_shape, facts.classes) == ((25,), (25,), 10)
    assert facts.integers
    assert facts.tokens == 10


@pytest.mark.parametrize(
    ("x", "y", "classes", "targets", "integers"),
    [
        ([[1.0, 2.0], [3.0, 4.0]] * 3, [0, 1] * 3, 2, (), False),
        ([[1, 2], [3, 4]] * 3, [0.5, 1.5] * 3, None, (1,), True),
        ([1.0, 2.0] * 3, [[1.0, 2.0], [3.0, 4.0]] * 3, None, (2,), False),
    ],
)
def test_what_is_inline_speaks_for_itself(x, y, classes, targets, integers):
    facts = facts_of(parse_document(Inline, {"type": "inline", "x": x, "y": y}))
    assert (facts.classes, facts.target_shape, facts.integers) == (classes, targets, integers)


@pytest.mark.parametrize(
    ("x", "y", "pointer"),
    [
        ([[1], [1, 2]], [0, 1], "/x"),
        ([[1], ["a"]], [0, 1], "/x"),
        ([[1], [float("nan")]], [0, 1], "/x"),
        ([[1], [True]], [0, 1], "/x"),
        ([[1], [2]], [0], "/y"),
        ([[1], [2]], [None, 1], "/y"),
        ([], [], "/x"),
    ],
)
def test_what_is_inline_and_not_regular_is_refused(x, y, pointer):
    with pytest.raises(InvalidSpec) as caught:
        parse_document(Inline, {"type": "inline", "x": x, "y": y})
    assert pointer in {fault.pointer for fault in caught.value.faults}
