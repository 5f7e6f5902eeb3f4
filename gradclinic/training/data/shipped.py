"""The rows of the real tables that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets

from gradclinic.contract.dataset import Dataset
from gradclinic.contract.shipped_data import Digits
from gradclinic.files import RawData


def load_classes(loader: Callable[..., Any]) -> Callable[[Dataset], RawData]:
    """Return the function that loads a table of classes."""

    def load(_data: Dataset) -> RawData:
        inputs, targets = loader(return_X_y=True)
        return RawData(np.asarray(inputs, np.float64), np.asarray(targets, np.int64))

    return load


def load_digits(data: Digits) -> RawData:
    """Load images (rows, 64) or (rows, 1, 8, 8), pixels from 0 to 16."""
    inputs, targets = datasets.load_digits(return_X_y=True)
    shape = (-1, 64) if data.flatten else (-1, 1, 8, 8)
    return RawData(np.asarray(inputs, np.float64).reshape(shape), np.asarray(targets, np.int64), is_image=True)


def load_diabetes(_data: Dataset) -> RawData:
    """Load the one table whose target is a number."""
    inputs, targets = datasets.load_diabetes(return_X_y=True)
    return RawData(np.asarray(inputs, np.float64), np.asarray(targets, np.float64)[:, None])
