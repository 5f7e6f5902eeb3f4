"""The data sets that are drawn: scikit-learn's generators and others of their kind, and the tasks of long memory."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Number, Size, misfit
from gradclinic.contract.dataset import Dataset, RawFacts


class _Generated(Dataset):
    samples: Size = Field(1000, description="Number of rows drawn.")


class LinearRegression(_Generated):
    """x ~ U(low, high)^(samples x features), y = x.w + bias + N(0, noise^2)."""

    type: Literal["linear_regression"]
    features: Size = Field(10, description="Number of features.")
    coefficients: Annotated[tuple[Number, ...], Field(strict=False, min_length=1, max_length=10_000)] | None = Field(
        None, description="The weights w, one a feature; drawn from N(0, 1) by default."
    )
    low: Number = Field(0.0, description="Lower end of the inputs.")
    high: Number = Field(1.0, description="Upper end of the inputs.")
    bias: Number = Field(0.0, description="Added to every target.")
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the targets.")

    @model_validator(mode="after")
    def _one_weight_a_feature(self) -> LinearRegression:
        if self.low >= self.high:
            raise misfit("low is not below high.", at="low", expected="low < high")
        if self.coefficients is not None and len(self.coefficients) != self.features:
            message = f"There are {len(self.coefficients)} coefficients for {self.features} features."
            raise misfit(message, at="coefficients", expected=f"a list of {self.features} numbers")
        return self

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (self.features,), None, (1,))


Classes = Annotated[int, Field(ge=2, le=10_000)]


class _Classes(_Generated):
    classes: Classes = Field(2, description="Number of classes.")

    @model_validator(mode="after")
    def _a_row_a_class(self) -> _Classes:
        if self.samples < self.classes:
            message = f"{self.samples} samples cannot fill {self.classes} classes."
            raise misfit(message, at="samples", expected=f"at least {self.classes}")
        return self


class Blobs(_Classes):
    """Gaussian clusters, one a class (scikit-learn's make_blobs)."""

    type: Literal["blobs"]
    classes: Classes = Field(3, description="Number of clusters.")
    features: Size = Field(2, description="Number of features.")
    noise: NonNegative = Field(1.0, description="Deviation of each cluster.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (self.features,), self.classes)


class Spirals(_Classes):
    """Interleaved arms, one a class, each of 0.64 of a turn."""

    type: Literal["spirals"]
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the inputs.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (2,), self.classes)


class GaussianQuantiles(_Classes):
    """Shells of one Gaussian, one a class (scikit-learn's make_gaussian_quantiles)."""

    type: Literal["gaussian_quantiles"]
    features: Size = Field(2, description="Number of features.")
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the inputs.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (self.features,), self.classes)


class _Plane(_Generated):
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the inputs.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (2,), 2)


class Circles(_Plane):
    """A circle within a circle (scikit-learn's make_circles)."""

    type: Literal["circles"]
    factor: float = Field(0.8, ge=0.0, lt=1.0, description="Radius of the inner circle over that of the outer one.")


class Moons(_Plane):
    """Two interleaved half circles (scikit-learn's make_moons)."""

    type: Literal["moons"]


class AddingProblem(_Generated):
    """Sequences of values in U(0, 1) beside a marker in each half; the target is the sum of the two marked values.

    Hochreiter & Schmidhuber 1997. Inputs [N, length, 2].
    """

    type: Literal["adding_problem"]
    length: Annotated[int, Field(ge=2, le=100_000)] = Field(50, description="Steps of a sequence.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, (self.length, 2), None, (1,))


class CopyMemory(_Generated):
    """Ten tokens to be remembered over `length` blanks and then repeated. Hochreiter & Schmidhuber 1997.

    Inputs and targets are tokens [N, length + 20]: 0 is blank, 1 to 8 are to be copied, 9 asks for the copy.
    """

    REMEMBERED: ClassVar[int] = 10
    TOKENS: ClassVar[int] = 10
    type: Literal["copy_memory"]
    length: Annotated[int, Field(ge=1, le=100_000)] = Field(50, description="Blanks between the tokens and their copy.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        steps = self.length + 2 * self.REMEMBERED
        return RawFacts(self.samples, (steps,), self.TOKENS, (steps,), integers=True, tokens=self.TOKENS)


class RandomImages(_Classes):
    """Noise in the shape of pictures, with labels: for smoke tests of models of images."""

    type: Literal["random_images"]
    shape: Annotated[tuple[Size, Size, Size], Field(strict=False)] = Field(
        (3, 32, 32), description="Channels, height and width."
    )
    classes: Classes = Field(10, description="Number of classes.")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.samples, self.shape, self.classes)


Generated = (
    LinearRegression | Blobs | Circles | Moons | Spirals | GaussianQuantiles | AddingProblem | CopyMemory | RandomImages
)
"""All of them."""
