"""The real data sets that ship with scikit-learn; their sizes are known."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gradclinic.contract.dataset import Dataset, RawFacts


class _Shipped(Dataset):
    """A real data set that ships with scikit-learn; its sizes are known."""

    ROWS: ClassVar[int]
    FEATURES: ClassVar[int]
    CLASSES: ClassVar[int | None]

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.ROWS, (self.FEATURES,), self.CLASSES, () if self.CLASSES else (1,))


class Digits(_Shipped):
    """1,797 real 8x8 images of handwritten digits, 10 classes (UCI, via scikit-learn)."""

    ROWS, FEATURES, CLASSES = 1797, 64, 10
    type: Literal["digits"]
    flatten: bool = Field(True, description="Give [64] instead of [1, 8, 8].")

    def raw_facts(self) -> RawFacts:
        """Say what the data set holds."""
        return RawFacts(self.ROWS, (64,) if self.flatten else (1, 8, 8), self.CLASSES)


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


Shipped = Digits | BreastCancer | Wine | Iris | Diabetes
"""All of them."""
