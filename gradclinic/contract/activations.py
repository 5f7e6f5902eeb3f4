"""Elementwise activations, each by the name and keywords of its `torch.nn` class."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import Index, NonNegative, Number, Positive, Probability, Size, misfit
from gradclinic.contract.layer import LayerSpec


class Activation(LayerSpec):
    """An elementwise activation: its output has the shape of its input."""


class _InPlace(Activation):
    inplace: bool = Field(False, description="Overwrite the input.")


class CELU(_InPlace):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    type: Literal["CELU"]
    alpha: Positive = Field(1.0, description="Scale of the negative part.")


class ELU(_InPlace):
    """x above 0, alpha * (exp(x) - 1) below."""

    type: Literal["ELU"]
    alpha: Number = Field(1.0, description="Scale of the negative part.")


class GELU(Activation):
    """x * Phi(x)."""

    type: Literal["GELU"]
    approximate: Literal["none", "tanh"] = Field("none", description="Use the tanh approximation.")


class Exp(Activation):
    """exp(x), which PyTorch has as a function only; its slope grows with its value."""

    type: Literal["Exp"]


class Hardshrink(Activation):
    """x outside [-lambd, lambd], 0 inside."""

    type: Literal["Hardshrink"]
    lambd: NonNegative = Field(0.5, description="Half the width of the dead zone.")


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6."""

    type: Literal["Hardsigmoid"]


class Hardswish(_InPlace):
    """x * relu6(x + 3) / 6."""

    type: Literal["Hardswish"]


class Hardtanh(_InPlace):
    """x, cut to [min_val, max_val]."""

    type: Literal["Hardtanh"]
    min_val: Number = Field(-1.0, description="Lower cut.")
    max_val: Number = Field(1.0, description="Upper cut.")

    @model_validator(mode="after")
    def _ordered(self) -> Hardtanh:
        if self.min_val >= self.max_val:
            raise misfit("min_val is not below max_val.", at="min_val", expected="min_val < max_val")
        return self


class LeakyReLU(_InPlace):
    """x above 0, negative_slope * x below."""

    type: Literal["LeakyReLU"]
    negative_slope: Number = Field(0.01, description="Slope below 0.")


class LogSigmoid(Activation):
    """log(1 / (1 + exp(-x)))."""

    type: Literal["LogSigmoid"]


class Mish(_InPlace):
    """x * tanh(softplus(x))."""

    type: Literal["Mish"]


class PReLU(Activation):
    """x above 0, a learned slope times x below."""

    type: Literal["PReLU"]
    num_parameters: Size = Field(1, description="1, or the number of channels.")
    init: Number = Field(0.25, description="The slope at the start (PyTorch's keyword).")


class ReLU(_InPlace):
    """max(0, x)."""

    type: Literal["ReLU"]


class ReLU6(_InPlace):
    """min(max(0, x), 6)."""

    type: Literal["ReLU6"]


class RReLU(_InPlace):
    """Leaky ReLU whose slope is drawn from U(lower, upper) in training."""

    type: Literal["RReLU"]
    lower: Probability = Field(1 / 8, description="Lower end of the slope.")
    upper: Probability = Field(1 / 3, description="Upper end of the slope.")

    @model_validator(mode="after")
    def _ordered(self) -> RReLU:
        if self.lower > self.upper:
            raise misfit("lower is above upper.", at="lower", expected="lower <= upper")
        return self


class SELU(_InPlace):
    """Scaled ELU, self-normalizing with LeCun initialization. Klambauer et al. 2017."""

    type: Literal["SELU"]


class Sigmoid(Activation):
    """1 / (1 + exp(-x)); its slope is at most 1/4."""

    type: Literal["Sigmoid"]


class SiLU(_InPlace):
    """x * sigmoid(x), also called swish."""

    type: Literal["SiLU"]


class Softplus(Activation):
    """log(1 + exp(beta * x)) / beta."""

    type: Literal["Softplus"]
    beta: Positive = Field(1.0, description="Sharpness.")
    threshold: Number = Field(20.0, description="Above it (times beta) the function is linear.")


class Softshrink(Activation):
    """x moved towards 0 by lambd, 0 inside [-lambd, lambd]."""

    type: Literal["Softshrink"]
    lambd: NonNegative = Field(0.5, description="Half the width of the dead zone.")


class Softsign(Activation):
    """x / (1 + |x|)."""

    type: Literal["Softsign"]


class Tanh(Activation):
    """tanh(x); its slope is at most 1."""

    type: Literal["Tanh"]


class Tanhshrink(Activation):
    """x - tanh(x)."""

    type: Literal["Tanhshrink"]


class Threshold(_InPlace):
    """x above threshold, value otherwise."""

    type: Literal["Threshold"]
    threshold: Number = Field(description="The threshold.")
    value: Number = Field(description="What stands in for x below it.")


AnyActivation = (
    CELU | ELU | Exp | GELU | Hardshrink | Hardsigmoid | Hardswish | Hardtanh | LeakyReLU | LogSigmoid | Mish | PReLU
    | ReLU | ReLU6 | RReLU | SELU | Sigmoid | SiLU | Softplus | Softshrink | Softsign | Tanh | Tanhshrink | Threshold
)  # fmt: skip


class Softmax(LayerSpec):
    """Positive numbers that sum to 1 along a dimension."""

    type: Literal["Softmax"]
    dim: Index = Field(-1, description="The dimension; the batch is 0.")


class LogSoftmax(LayerSpec):
    """The logarithm of Softmax."""

    type: Literal["LogSoftmax"]
    dim: Index = Field(-1, description="The dimension; the batch is 0.")


class GLU(LayerSpec):
    """The first half along a dimension times the sigmoid of the second. Dauphin et al. 2017."""

    type: Literal["GLU"]
    dim: Index = Field(-1, description="The dimension that is halved; the batch is 0.")


ShapedActivation = Softmax | LogSoftmax | GLU
"""Activations in which the elements of a dimension see each other."""
