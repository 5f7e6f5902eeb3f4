"""The rows of a data set before anything is done to them, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradclinic.contract.dataset import RawFacts


@dataclass(frozen=True)
class RawData:
    """Inputs (rows, ...) and targets: class indices (rows,) or (rows, steps) of integers, or values (rows, targets).

    `is_image` says that all inputs are of one kind (pixels) and share one scale, `is_sequence` that they are steps or
    tokens, whose scale is theirs. `integers` says that the inputs are whole numbers, which an Embedding takes;
    `classes` is None for a regression, and `class_names` has the words that stood for them, in the order of the indices.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    is_image: bool = False
    is_sequence: bool = False
    integers: bool = False
    classes: int | None = None
    class_names: list[str] | None = None

    def facts(self) -> RawFacts:
        """Say what these rows are."""
        return RawFacts(
            rows=len(self.inputs),
            input_shape=self.inputs.shape[1:],
            classes=self.classes,
            target_shape=self.targets.shape[1:],
            integers=self.integers,
            tokens=self._tokens(),
        )

    def _tokens(self) -> int | None:
        if not self.integers or not self.inputs.size or np.min(self.inputs) < 0:
            return None
        return int(np.max(self.inputs)) + 1


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Tell whether samples of this shape are pictures, [C, H, W], or volumes: numbers of one kind, with one scale."""
    return len(shape) >= 3


def is_sequence_shape(shape: tuple[int, ...]) -> bool:
    """Tell whether samples of this shape are sequences, [T, F]. A single axis is the features of a table."""
    return len(shape) == 2
