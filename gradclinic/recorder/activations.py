"""Where an activation passes (nearly) no gradient on: its off side, which makes dead units, and its bounds, where it
saturates. One table, by the class of `torch.nn`; what is not in it has neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

NEARLY_ZERO = 1 - 0.97**2
"""A derivative below this share (0.059) of the activation's largest one is nearly zero: that of a tanh beyond +-0.97.

The criterion |tanh| > 0.97 is Karpathy's (Neural Networks: Zero to Hero, part 4). Other tools cut later: DeepDiagnosis
at inputs beyond +-5 (tanh 0.9999), SageMaker Debugger where the gradient is below 1e-7 (tanh beyond +-9.5). A share of the
derivative says the same of every activation; one of the output would not.
"""


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`, both included."""

    low: float
    high: float


ZERO = Interval(0.0, 0.0)


@dataclass(frozen=True)
class Flat:
    """Where an activation is flat.

    Args:
        off: The values of a unit that is off; None of an activation without an off side.
        of_input: Whether `off` speaks of the input: below 0 GELU and its like come back to 0, so that an output near 0
            may belong to an input near 0, where they are steep.
        bounds: A unit is saturated at or below the first, and at or above the second of these outputs; None of an
            activation that is not bounded.
    """

    off: Interval | None = None
    of_input: bool = False
    bounds: tuple[float, float] | None = None


NOWHERE_FLAT = Flat()


def flat_parts(module: nn.Module) -> Flat:
    """Return where a module is flat; nowhere if it is no activation that this file knows, or a subclass of one."""
    for kind in type(module).__mro__:
        if kind in FLAT:
            return FLAT[kind](module)
    return NOWHERE_FLAT


def _softplus(module: nn.Softplus) -> Flat:
    # The derivative is 1 - exp(-beta y).
    return Flat(off=Interval(-math.inf, -math.log(1 - NEARLY_ZERO) / module.beta))


def _elu(module: nn.ELU) -> Flat:
    # Below 0 the derivative is y + alpha, above it is 1.
    return _exponential_tail(module.alpha, largest=max(module.alpha, 1.0))


def _celu(module: nn.CELU) -> Flat:
    # Below 0 the derivative is y / alpha + 1, above it is 1.
    return _exponential_tail(module.alpha, largest=module.alpha)


def _selu(_: nn.SELU) -> Flat:
    # An ELU times `scale`: below 0 the derivative is y + scale * alpha, at most 1.76, above it is `scale`, 1.05.
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return _exponential_tail(scale * alpha, largest=scale * alpha)


def _exponential_tail(depth: float, largest: float) -> Flat:
    """Of an activation that falls to -`depth` below 0, with the derivative `largest` / `depth` * (y + `depth`).

    That of ELU is (y + depth) whatever the largest derivative; where they are equal, as in the others, so is this.
    """
    if depth < 0:
        return NOWHERE_FLAT  # it rises on both sides
    return Flat(off=Interval(-math.inf, min(0.0, NEARLY_ZERO * largest - depth)))


def _threshold(module: nn.Threshold) -> Flat:
    return Flat(off=Interval(module.value, module.value))


def _leaky_relu(module: nn.LeakyReLU) -> Flat:
    return Flat(off=ZERO) if module.negative_slope == 0 else NOWHERE_FLAT


def _hardtanh(module: nn.Hardtanh) -> Flat:
    return Flat(bounds=(module.min_val, module.max_val))


def _recurrent(module: nn.RNN | nn.RNNCell) -> Flat:
    return Flat(off=ZERO) if module.nonlinearity == "relu" else TANH


TANH = Flat(bounds=(-0.97, 0.97))  # the derivative is 1 - y^2
SIGMOID = Flat(bounds=(0.015, 0.985))  # that of a tanh of half the input, from 0 to 1
SOFTSIGN = Flat(bounds=(math.sqrt(NEARLY_ZERO) - 1, 1 - math.sqrt(NEARLY_ZERO)))  # the derivative is (1 - |y|)^2

FLAT: Mapping[type[nn.Module], Callable[[Any], Flat]] = MappingProxyType(
    {
        # Exactly zero on the off side, and so is the derivative.
        nn.ReLU: lambda _: Flat(off=ZERO),
        nn.ReLU6: lambda _: Flat(off=ZERO, bounds=(-math.inf, 6.0)),
        nn.Hardswish: lambda _: Flat(off=ZERO),
        nn.Hardsigmoid: lambda _: Flat(off=ZERO, bounds=(0.0, 1.0)),
        nn.Threshold: _threshold,
        nn.LeakyReLU: _leaky_relu,
        # Off in the middle.
        nn.Hardshrink: lambda _: Flat(off=ZERO),
        nn.Softshrink: lambda _: Flat(off=ZERO),
        nn.Tanhshrink: lambda _: Flat(
            off=Interval(-0.0051, 0.0051)
        ),  # the derivative is tanh(x)^2, small for |x| < 0.248
        # A tail on which the derivative goes to zero.
        nn.ELU: _elu,
        nn.CELU: _celu,
        nn.SELU: _selu,
        nn.Softplus: _softplus,
        nn.LogSigmoid: lambda _: Flat(off=Interval(math.log(1 - NEARLY_ZERO), math.inf)),  # its mirror: 1 - exp(y)
        nn.GELU: lambda _: Flat(off=Interval(-math.inf, -2.18), of_input=True),
        nn.SiLU: lambda _: Flat(off=Interval(-math.inf, -3.645), of_input=True),
        nn.Mish: lambda _: Flat(off=Interval(-math.inf, -3.713), of_input=True),
        # Bounded on both sides.
        nn.Tanh: lambda _: TANH,
        nn.Sigmoid: lambda _: SIGMOID,
        nn.Softsign: lambda _: SOFTSIGN,
        nn.Hardtanh: _hardtanh,
        nn.RNN: _recurrent,
        nn.RNNCell: _recurrent,
        # Not here, and why: PReLU and RReLU always pass on a share of the gradient; Softmax, LogSoftmax and GLU are not
        # elementwise; the output of an LSTM or GRU is a product, which does not tell of the derivative; the contract's
        # Exp has no largest derivative.
    }
)
