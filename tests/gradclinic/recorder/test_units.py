"""Which dimension counts units, and for how long each has been off, against a list of everything seen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gradclinic.recorder.units import DEAD_SAMPLES, MAX_SHAPES, MAX_WIDTHS, LayerUnits, UnitDimensions, Units, blocks_of


@pytest.mark.parametrize(
    ("module", "shape", "dim"),
    [
        (nn.Linear(1, 1), (8, 5), 1),
        (nn.Linear(1, 1), (8, 7, 5), 2),
        (nn.Linear(1, 1), (8, 4, 4, 5), 3),
        (nn.LayerNorm(1), (8, 4, 4, 5), 3),
        (nn.BatchNorm1d(1), (8, 5), 1),
        (nn.Conv1d(1, 1, 1), (8, 5, 7), 1),
        (nn.MaxPool1d(1), (8, 5, 7), 1),
        (nn.Conv2d(1, 1, 1), (8, 5, 7, 7), 1),
        (nn.Conv3d(1, 1, 1), (8, 5, 7, 7, 7), 1),
        (nn.ReLU(), (5,), 0),
        (nn.ReLU(), (), 0),
        (nn.ReLU(), (8, 5), 1),
        (nn.ReLU(), (8, 7, 5), 2),
        (nn.ReLU(), (8, 5, 7, 7), 1),
    ],
)
def test_units_are_channels_after_convolutions_and_features_elsewhere(module, shape, dim):
    assert UnitDimensions().of(module, shape) == dim


def test_an_activation_follows_the_last_layer_of_its_shape():
    dimensions = UnitDimensions()
    dimensions.of(nn.Conv1d(1, 1, 1), (8, 5, 7))
    assert dimensions.of(nn.ReLU(), (8, 5, 7)) == 1
    assert dimensions.of(nn.ReLU(), (8, 7, 5)) == 2
    dimensions.of(nn.Linear(1, 1), (8, 5, 7))
    assert dimensions.of(nn.ReLU(), (8, 5, 7)) == 2


def test_few_shapes_are_remembered():
    dimensions = UnitDimensions()
    for length in range(3 * MAX_SHAPES):
        dimensions.of(nn.Linear(1, 1), (8, length, 5))
    assert len(dimensions._of_shape) <= MAX_SHAPES


@given(st.lists(st.integers(0, 4), max_size=5), st.data())
def test_blocks_hold_the_same_elements_a_unit(shape, data):
    dim = data.draw(st.integers(0, max(len(shape) - 1, 0)))
    elements = torch.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    blocks = elements.reshape(blocks_of(tuple(shape), dim))
    for unit in range(blocks.shape[1]):
        expected = elements.select(dim, unit) if shape else elements
        assert torch.equal(blocks[:, unit].flatten(), expected.flatten())


@given(st.lists(st.tuples(st.integers(1, 400), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=12))
def test_dead_is_off_in_all_steps_that_reach_into_the_last_samples(steps):
    units, seen = Units(3, torch.device("cpu")), 0
    for now, (samples, on) in enumerate(steps, start=1):
        units.on |= torch.tensor(on, dtype=torch.uint8)
        units.samples_now += samples
        seen += samples
        dead = int(units.close_step())
        assert units.judged == (seen >= DEAD_SAMPLES)
        if units.judged:
            ends = np.cumsum([count for count, _ in steps[:now]])
            reaching = [flags for end, (_, flags) in zip(ends, steps, strict=False) if end > seen - DEAD_SAMPLES]
            assert dead == sum(not any(flags[unit] for flags in reaching) for unit in range(3))
        else:
            assert dead == 0


def test_a_step_that_was_not_ended_leaves_nothing():
    units = LayerUnits()
    group = units.group(2, torch.device("cpu"))
    group.on.fill_(1)
    group.samples_now = 5
    units.forget_step()
    assert (group.samples, group.samples_now, group.on.tolist()) == (0, 0, [0, 0])


def test_sizes_that_vary_with_the_input_are_no_units():
    units = LayerUnits()
    for width in range(1, MAX_WIDTHS + 1):
        assert units.group(width, torch.device("cpu")) is units.group(width, torch.device("cpu"))
    assert units.group(99, torch.device("cpu")) is None
    assert units.group(1, torch.device("cpu")) is None
    assert not units.groups
