"""What follows about a data set without loading it."""

import pytest

from gradclinic.contract.data import Blobs, Digits, LinearRegression
from gradclinic.contract.parse import parse_document


def test_digits_flattened_and_as_images():
    assert parse_document(Digits, {"type": "digits"}).facts().input_shape == (64,)
    assert parse_document(Digits, {"type": "digits", "flatten": False}).facts().input_shape == (1, 8, 8)


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
    facts = parse_document(Digits, {"type": "digits", **keywords}).facts()
    assert (facts.train, facts.validation) == (train, validation)


def test_task_follows_from_the_targets():
    assert parse_document(Blobs, {"type": "blobs"}).facts().task == "classification"
    facts = parse_document(LinearRegression, {"type": "linear_regression"}).facts()
    assert (facts.task, facts.targets, facts.classes) == ("regression", 1, None)
