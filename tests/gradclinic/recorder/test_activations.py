"""The table of flat parts against derivatives that autograd takes in float64."""

import pytest
import torch
from torch import nn

from gradclinic.contract.activations import AnyActivation
from gradclinic.recorder.activations import FLAT, NEARLY_ZERO, NOWHERE_FLAT, flat_parts

OFF_BELOW = [
    nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.Hardsigmoid(), nn.Threshold(0.5, 0.25), nn.ELU(), nn.ELU(alpha=3.0),
    nn.ELU(alpha=0.02), nn.CELU(), nn.CELU(alpha=0.5), nn.SELU(), nn.Softplus(), nn.Softplus(beta=3.0), nn.GELU(),
    nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(),
]  # fmt: skip
BOUNDED = [nn.Tanh(), nn.Sigmoid(), nn.Softsign(), nn.Hardtanh(), nn.Hardtanh(-0.5, 3.0), nn.Hardsigmoid()]
NEVER_FLAT = [
    nn.LeakyReLU(),
    nn.PReLU(),
    nn.RReLU(),
    nn.Softmax(dim=-1),
    nn.LogSoftmax(dim=-1),
    nn.GLU(),
    nn.Linear(2, 2),
]
# No multiples of the kinks' places, and none where a derivative is exactly at the limit.
INPUTS = torch.linspace(-30, 30, 20_011, dtype=torch.float64) + 1e-4


def described(module):
    return str(module)


def response(module):
    inputs = INPUTS.clone().requires_grad_()
    outputs = module(inputs)
    outputs.sum().backward()
    return outputs.detach(), inputs.grad.abs()


def inside(values, interval):
    return (values >= interval.low) & (values <= interval.high)


def crossings(flags):
    """Where flags change: one place may be off by an input or two, for constants are rounded."""
    return torch.nonzero(flags[1:] != flags[:-1]).flatten()


def assert_same_side(told, true):
    assert crossings(told).tolist() == pytest.approx(crossings(true).tolist(), abs=3)
    assert told[0] == true[0]


@pytest.mark.parametrize("module", OFF_BELOW, ids=described)
def test_off_is_where_the_derivative_is_nearly_zero_from_there_down(module):
    flat = flat_parts(module)
    outputs, slopes = response(module)
    told = inside(INPUTS if flat.of_input else outputs, flat.off)
    steep = torch.nonzero(slopes >= NEARLY_ZERO * slopes.max()).flatten()
    true = torch.arange(len(INPUTS)) < steep[0]
    assert 0 < true.sum() < len(INPUTS) * 0.6
    assert_same_side(told, true)


@pytest.mark.parametrize("module", [nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.LogSigmoid()], ids=described)
def test_off_is_where_the_derivative_is_nearly_zero_in_the_middle_or_above(module):
    outputs, slopes = response(module)
    assert_same_side(inside(outputs, flat_parts(module).off), slopes < NEARLY_ZERO * slopes.max())


@pytest.mark.parametrize("module", BOUNDED, ids=described)
def test_saturated_is_where_the_derivative_is_nearly_zero_on_either_side(module):
    low, high = flat_parts(module).bounds
    outputs, slopes = response(module)
    told = (outputs <= low) | (outputs >= high)
    assert 0 < told.sum() < len(INPUTS)
    assert_same_side(told, slopes < NEARLY_ZERO * slopes.max())


def test_relu6_is_off_below_and_saturated_above():
    outputs, slopes = response(nn.ReLU6())
    flat = flat_parts(nn.ReLU6())
    low, high = flat.bounds
    assert torch.equal(inside(outputs, flat.off), (slopes == 0) & (INPUTS < 1))
    assert torch.equal((outputs <= low) | (outputs >= high), (slopes == 0) & (INPUTS > 1))


@pytest.mark.parametrize("module", NEVER_FLAT, ids=described)
def test_what_always_passes_on_some_gradient_is_nowhere_flat(module):
    assert flat_parts(module) == NOWHERE_FLAT


def test_every_activation_of_the_contract_is_in_the_table_or_left_out_on_purpose():
    names = {kind.__name__ for kind in AnyActivation.__args__}
    assert names - {kind.__name__ for kind in FLAT} == {"Exp", "PReLU", "RReLU"}


def test_a_leaky_relu_that_does_not_leak_is_a_relu():
    assert flat_parts(nn.LeakyReLU(0.0)) == flat_parts(nn.ReLU())


def test_a_recurrent_layer_is_flat_as_its_nonlinearity():
    assert flat_parts(nn.RNN(2, 2)) == flat_parts(nn.Tanh())
    assert flat_parts(nn.RNN(2, 2, nonlinearity="relu")) == flat_parts(nn.ReLU())
    assert flat_parts(nn.LSTM(2, 2)) == NOWHERE_FLAT


def test_a_subclass_is_flat_as_its_parent():
    class Mine(nn.ReLU):
        pass

    assert flat_parts(Mine()) == flat_parts(nn.ReLU())
