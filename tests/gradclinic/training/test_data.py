"""Preparing data as the contract says: shuffled, limited, split, scaled by the training part alone."""

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.training.data import prepare_data


def prepared(**data):
    spec = parse_spec(
        {
            "model": {"layers": [{"type": "Linear", "out_features": 1}]},
            "data": data,
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "SGD"},
        }
    )
    return prepare_data(spec.data)


@pytest.mark.parametrize(
    "name", ["digits", "breast_cancer", "wine", "iris", "diabetes", "linear_regression", "blobs", "circles", "moons"]
)
def test_what_is_loaded_is_what_the_facts_say(name):
    data = prepared(type=name)
    assert tuple(data.train.inputs.shape) == (data.facts.train, *data.facts.input_shape)
    assert len(data.judged) == data.facts.validation
    assert data.train.inputs.dtype == torch.float32
    if data.facts.classes is None:
        assert data.train.targets.dtype == torch.float32
        assert tuple(data.train.targets.shape) == (data.facts.train, data.facts.targets)
    else:
        assert data.train.targets.dtype == torch.int64
        assert set(data.train.targets.tolist()) == set(range(data.facts.classes))


def test_features_of_a_table_are_scaled_one_by_one_with_the_training_part():
    train = prepared(type="wine").train.inputs
    assert train.mean(dim=0).abs().max() < 1e-5
    assert train.std(dim=0, unbiased=False) == pytest.approx(torch.ones(13), abs=1e-4)


def test_pixels_share_one_scale():
    data = prepared(type="digits")
    assert abs(float(data.train.inputs.mean())) < 1e-5
    assert float(data.train.inputs.std()) == pytest.approx(1.0, abs=1e-3)
    assert len(data.train.inputs.std(dim=0).round(decimals=2).unique()) > 10


def test_minmax_scales_into_minus_one_to_one():
    train = prepared(type="iris", normalize="minmax").train.inputs
    assert train.min(dim=0).values.tolist() == [-1.0] * 4
    assert train.max(dim=0).values.tolist() == [1.0] * 4


def test_without_normalize_values_stay_as_they_are():
    inputs = prepared(type="digits", normalize=False).train.inputs
    assert (float(inputs.min()), float(inputs.max())) == (0.0, 16.0)


def test_targets_are_scaled_only_when_asked():
    assert float(prepared(type="diabetes").train.targets.mean()) > 100
    assert abs(float(prepared(type="diabetes", normalize_target=True).train.targets.mean())) < 1e-5


def test_no_row_is_in_both_parts_and_the_seed_decides_which():
    first, second = prepared(type="diabetes"), prepared(type="diabetes", seed=1)
    rows = [{tuple(row) for row in part.inputs.tolist()} for part in (first.train, first.judged)]
    assert not rows[0] & rows[1]
    assert not torch.equal(first.judged.targets, second.judged.targets)


def test_without_a_validation_part_the_training_part_is_judged():
    data = prepared(type="iris", validation_split=0.0)
    assert len(data.judged) == len(data.train) == 150


def test_linear_regression_follows_its_coefficients():
    data = prepared(
        type="linear_regression", features=2, coefficients=[2.0, -3.0], bias=1.0, low=-1.0, high=2.0, normalize=False
    )
    expected = data.train.inputs @ torch.tensor([2.0, -3.0]) + 1.0
    assert torch.allclose(data.train.targets[:, 0], expected, atol=1e-5)
    assert float(data.train.inputs.min()) >= -1.0
    assert float(data.train.inputs.max()) <= 2.0


def test_limit_keeps_so_many_rows():
    assert len(prepared(type="moons", limit=50).train) == 40


def test_a_feature_that_never_changes_becomes_zero():
    data = prepared(type="digits", normalize="minmax", limit=10)
    assert np.isfinite(data.train.inputs.numpy()).all()
