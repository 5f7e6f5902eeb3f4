"""The data sets: what a client can ask for, and the facts about each that follow without loading it.

Nothing is read or drawn here; `gradclinic.training.data` does that.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Seed, Size, SpecModel, misfit

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class DataFacts:
    """What a model has to fit: the shape of one sample, without the batch, and what is asked for.

    `classes` is None for a regression, `targets` the number of values asked for in one, else 0. `train` and
    `validation` are the sizes of the two parts.
    """

    input_shape: tuple[int, ...]
    classes: int | None
    targets: int
    train: int
    validation: int

    @property
    def task(self) -> Task:
        """Whether classes or values are asked for."""
        return "regression" if self.classes is None else "classification"


class Dataset(SpecModel):
    """What every data set can be asked for."""

    validation_split: float = Field(0.2, ge=0.0, lt=1.0, description="Share of the rows held out; the first ones.")
    seed: Seed = Field(0, description="Shuffles the rows, and draws those of a generator.")
    normalize: bool | Literal["minmax"] = Field(
        True, description="Scale inputs by the training part's mean and deviation; 'minmax' scales to [-1, 1]."
    )
    normalize_target: bool = Field(False, description="Scale the targets of a regression likewise.")
    limit: Size | None = Field(None, description="Keep this many rows after shuffling.")

    def facts(self) -> DataFacts:
        """Work out the shape and the sizes of the two parts."""
        rows, input_shape, classes = self._rows(), self._input_shape(), self._classes()
        kept = rows if self.limit is None else min(rows, self.limit)
        # Rounded down: a part of a row is none. The epsilon is for products such as 300 * 0.7 = 209.99999999999997.
        validation = math.floor(kept * self.validation_split + 1e-9)
        return DataFacts(input_shape, classes, 1 if classes is None else 0, kept - validation, validation)

    @abstractmethod
    def _rows(self) -> int: ...

    @abstractmethod
    def _input_shape(self) -> tuple[int, ...]: ...

    @abstractmethod
    def _classes(self) -> int | None: ...

    @model_validator(mode="after")
    def _enough_rows(self) -> Dataset:
        facts = self.facts()
        if facts.train < 1:
            message = f"No row is left to train on: {facts.validation} of {self._rows()} rows are for validation."
            raise misfit(message, at="validation_split", expected="a smaller share, or more rows")
        if self.normalize_target and facts.classes is not None:
            message = "The targets are classes, which have no scale."
            raise misfit(message, at="normalize_target", expected="false, or data with numbers as targets")
        return self


class _Shipped(Dataset):
    """A real data set that ships with scikit-learn; its sizes are known."""

    ROWS: ClassVar[int]
    FEATURES: ClassVar[int]
    CLASSES: ClassVar[int | None]

    def _rows(self) -> int:
        return self.ROWS

    def _input_shape(self) -> tuple[int, ...]:
        return (self.FEATURES,)

    def _classes(self) -> int | None:
        return self.CLASSES


class Digits(_Shipped):
    """1,797 real 8x8 images of handwritten digits, 10 classes (UCI, via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 1797, 64, 10
    type: Literal["digits"]
    flatten: bool = Field(True, description="Give [64] instead of [1, 8, 8].")

    def _input_shape(self) -> tuple[int, ...]:
        return (64,) if self.flatten else (1, 8, 8)


class BreastCancer(_Shipped):
    """569 real tumours, 30 features, 2 classes (Wisconsin, via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 569, 30, 2
    type: Literal["breast_cancer"]


class Wine(_Shipped):
    """178 real wines, 13 features, 3 classes (via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 178, 13, 3
    type: Literal["wine"]


class Iris(_Shipped):
    """150 real irises, 4 features, 3 classes (Fisher, via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 150, 4, 3
    type: Literal["iris"]


class Diabetes(_Shipped):
    """442 real patients, 10 features, a number as target (via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 442, 10, None
    type: Literal["diabetes"]


class _Generated(Dataset):
    samples: Size = Field(1000, description="Number of rows drawn.")

    def _rows(self) -> int:
        return self.samples


class LinearRegression(_Generated):
    """x ~ U(low, high)^(samples x features), y = x.w + bias + N(0, noise^2)."""

    type: Literal["linear_regression"]
    features: Size = Field(10, description="Number of features.")
    coefficients: Annotated[tuple[float, ...], Field(strict=False, min_length=1, max_length=10_000)] | None = Field(
        None, description="The weights w, one a feature; drawn from N(0, 1) by default."
    )
    low: float = Field(0.0, description="Lower end of the inputs.")
    high: float = Field(1.0, description="Upper end of the inputs.")
    bias: float = Field(0.0, description="Added to every target.")
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the targets.")

    @model_validator(mode="after")
    def _one_weight_a_feature(self) -> LinearRegression:
        if self.low >= self.high:
            raise misfit("low is not below high.", at="low", expected="low < high")
        if self.coefficients is not None and len(self.coefficients) != self.features:
            message = f"There are {len(self.coefficients)} coefficients for {self.features} features."
            raise misfit(message, at="coefficients", expected=f"a list of {self.features} numbers")
        return self

    def _input_shape(self) -> tuple[int, ...]:
        return (self.features,)

    def _classes(self) -> int | None:
        return None


class Blobs(_Generated):
    """Gaussian clusters, one a class (scikit-learn's make_blobs)."""

    type: Literal["blobs"]
    features: Size = Field(2, description="Number of features.")
    classes: int = Field(3, ge=2, le=10_000, description="Number of clusters.")
    noise: NonNegative = Field(1.0, description="Deviation of each cluster.")

    @model_validator(mode="after")
    def _a_row_a_class(self) -> Blobs:
        if self.samples < self.classes:
            message = f"{self.samples} samples cannot fill {self.classes} classes."
            raise misfit(message, at="samples", expected=f"at least {self.classes}")
        return self

    def _input_shape(self) -> tuple[int, ...]:
        return (self.features,)

    def _classes(self) -> int | None:
        return self.classes


class _Plane(_Generated):
    noise: NonNegative = Field(0.0, description="Deviation of the noise on the inputs.")

    def _input_shape(self) -> tuple[int, ...]:
        return (2,)

    def _classes(self) -> int | None:
        return 2


class Circles(_Plane):
    """A circle within a circle (scikit-learn's make_circles)."""

    type: Literal["circles"]
    factor: float = Field(0.8, ge=0.0, lt=1.0, description="Radius of the inner circle over that of the outer one.")


class Moons(_Plane):
    """Two interleaved half circles (scikit-learn's make_moons)."""

    type: Literal["moons"]


Data = Annotated[
    Digits | BreastCancer | Wine | Iris | Diabetes | LinearRegression | Blobs | Circles | Moons,
    Field(discriminator="type"),
]
"""Any data set, told apart by its `type`."""
