"""Units that are copies of each other, by weights and by gradient."""

import pytest
import torch
from torch import nn

from gradclinic.history import LayerFacts
from gradclinic.training.symmetry import alike_units


def shares(network, *, dropout=0.0):
    """Return the shares of alike units, by layer, after a backward pass."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inputs, classes = torch.randn(32, 5), torch.randint(0, 3, (32,))
        hidden = nn.functional.dropout(network[1](network[0](inputs)), dropout)
        nn.functional.cross_entropy(network[2](hidden), classes).backward()
    layers = [LayerFacts(name=str(place), type="Linear", parameters=[f"{place}.weight"]) for place in (0, 2)]
    return {found.layer: found.share for found in alike_units(network, layers)}


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def test_random_weights_are_told_apart(network):
    assert shares(network) == {}


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, -3.0])
def test_a_constant_leaves_a_hidden_layer_one_unit(network, value):
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    assert shares(network)["0"] == 1.0


def test_a_last_layer_of_zeros_is_told_apart_by_its_gradient(network):
    nn.init.zeros_(network[2].weight)
    assert shares(network) == {}


def test_equal_rows_with_other_weights_behind_them_part(network):
    nn.init.constant_(network[0].weight, 0.3)
    nn.init.constant_(network[0].bias, 0.0)
    assert shares(network) == {}


def test_a_dropout_tells_copies_apart(network):
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)
    with torch.no_grad():
        network[2].weight.copy_(torch.arange(3.0)[:, None].expand(3, 8))
    assert shares(network)["0"] == 1.0
    network.zero_grad()
    assert shares(network, dropout=0.5) == {}


def test_some_copies_are_a_share(network):
    with torch.no_grad():
        network[0].weight[1], network[0].bias[1] = network[0].weight[0].clone(), network[0].bias[0].clone()
        network[2].weight[:, 1] = network[2].weight[:, 0].clone()
    assert shares(network) == {"0": 0.25}


def test_frozen_weights_are_not_asked(network):
    nn.init.constant_(network[0].weight, 0.5)
    network[0].weight.requires_grad_(False)
    assert shares(network) == {}
