"""How weights and biases start: the functions of `torch.nn.init` by their own names and keywords."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Number, Positive, Probability, Size, SpecModel, misfit

Nonlinearity = Literal[
    "linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
]  # fmt: skip


class Uniform(SpecModel):
    """U(a, b)."""

    type: Literal["uniform_"]
    a: Number = Field(0.0, description="Lower end.")
    b: Number = Field(1.0, description="Upper end.")

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.a > self.b:
            raise misfit(f"a is {self.a:g}, above b, which is {self.b:g}.", at="a", expected="a <= b")
        return self


class Normal(SpecModel):
    """N(mean, std^2)."""

    type: Literal["normal_"]
    mean: Number = Field(0.0, description="Mean.")
    std: NonNegative = Field(1.0, description="Standard deviation.")


class TruncNormal(SpecModel):
    """N(mean, std^2), drawn again until it lies in [a, b]."""

    type: Literal["trunc_normal_"]
    mean: Number = Field(0.0, description="Mean.")
    std: Positive = Field(1.0, description="Standard deviation.")
    a: Number = Field(-2.0, description="Lower cut.")
    b: Number = Field(2.0, description="Upper cut.")

    @model_validator(mode="after")
    def _ordered(self) -> TruncNormal:
        if self.a >= self.b:
            raise misfit(f"a is {self.a:g}, not below b, which is {self.b:g}.", at="a", expected="a < b")
        # Drawing again and again until a number falls into a far tail does not end, and PyTorch warns at two deviations.
        if not self.a - 2 * self.std <= self.mean <= self.b + 2 * self.std:
            message = f"The mean {self.mean:g} lies more than two deviations outside [{self.a:g}, {self.b:g}]."
            raise misfit(message, at="mean", expected="a mean between a and b")
        return self


class Constant(SpecModel):
    """Every element is `val`."""

    type: Literal["constant_"]
    val: Number = Field(description="The value.")


class Ones(SpecModel):
    """Every element is 1."""

    type: Literal["ones_"]


class Zeros(SpecModel):
    """Every element is 0."""

    type: Literal["zeros_"]


class Eye(SpecModel):
    """The identity matrix; for weights of two dimensions alone."""

    type: Literal["eye_"]


class Dirac(SpecModel):
    """The Dirac delta, which passes channels through; for weights of convolutions alone."""

    type: Literal["dirac_"]
    groups: Size = Field(1, description="Groups of the convolution.")


class XavierUniform(SpecModel):
    """U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010."""

    type: Literal["xavier_uniform_"]
    gain: Positive = Field(1.0, description="Scaling factor.")


class XavierNormal(SpecModel):
    """N(0, std^2), std = gain * sqrt(2 / (fan_in + fan_out)). Glorot & Bengio 2010."""

    type: Literal["xavier_normal_"]
    gain: Positive = Field(1.0, description="Scaling factor.")


class _Kaiming(SpecModel):
    a: Number = Field(0.0, description="Negative slope, used with leaky_relu.")
    mode: Literal["fan_in", "fan_out"] = Field("fan_in", description="Keep the variance forward or backward.")
    nonlinearity: Nonlinearity = Field("leaky_relu", description="The activation whose gain is used.")


class KaimingUniform(_Kaiming):
    """U(-bound, bound), bound = gain * sqrt(3 / fan). He et al. 2015."""

    type: Literal["kaiming_uniform_"]


class KaimingNormal(_Kaiming):
    """N(0, std^2), std = gain / sqrt(fan). He et al. 2015."""

    type: Literal["kaiming_normal_"]


class Orthogonal(SpecModel):
    """A random (semi-)orthogonal matrix times gain. Saxe et al. 2013."""

    type: Literal["orthogonal_"]
    gain: Number = Field(1.0, description="Scaling factor.")


class Sparse(SpecModel):
    """N(0, std^2) with a share of each column set to zero; for weights of two dimensions alone. Martens 2010."""

    type: Literal["sparse_"]
    sparsity: Probability = Field(description="Share of the elements of each column that is zero.")
    std: Positive = Field(0.01, description="Standard deviation of the rest.")


WeightInit = Annotated[
    Uniform | Normal | TruncNormal | Constant | Ones | Zeros | Eye | Dirac | XavierUniform | XavierNormal
    | KaimingUniform | KaimingNormal | Orthogonal | Sparse,
    Field(discriminator="type"),
]  # fmt: skip
"""What can set a weight (two dimensions or more)."""

BiasInit = Annotated[Uniform | Normal | TruncNormal | Constant | Ones | Zeros, Field(discriminator="type")]
"""What can set a bias: the functions that need no fan-in."""


class Init(SpecModel):
    """Initialization of every weight (dim >= 2) and every bias; without one, PyTorch's own default."""

    weight: WeightInit | None = Field(None, description="Sets weights; null keeps PyTorch's default.")
    bias: BiasInit | None = Field(None, description="Sets biases; null keeps PyTorch's default.")
