"""The rows of each data set before anything is done to them: scikit-learn's tables and generators.

Adding a data set is one function here and one line in `LOADERS`, beside its class in `gradclinic.contract.data`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import datasets

from gradclinic.contract.data import (
    Blobs,
    BreastCancer,
    Circles,
    Dataset,
    Diabetes,
    Digits,
    Iris,
    LinearRegression,
    Moons,
    Wine,
)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RawData:
    """Inputs (rows, ...) and targets: class indices (rows,) of integers, or values (rows, targets) of floats.

    `is_image` says that all inputs are of one kind (pixels) and share one scale.
    """

    inputs: FloatArray
    targets: npt.NDArray[Any]
    is_image: bool = False


def load_raw(data: Dataset) -> RawData:
    """Load or draw the rows of a data set, in its own order."""
    return LOADERS[type(data)](data)


def _shipped(loader: Callable[..., Any]) -> Callable[[Dataset], RawData]:
    def load(_data: Dataset) -> RawData:
        inputs, targets = loader(return_X_y=True)
        return RawData(np.asarray(inputs, np.float64), np.asarray(targets, np.int64))

    return load


def _digits(data: Digits) -> RawData:
    inputs, targets = datasets.load_digits(return_X_y=True)
    shape = (-1, 64) if data.flatten else (-1, 1, 8, 8)
    return RawData(np.asarray(inputs, np.float64).reshape(shape), np.asarray(targets, np.int64), is_image=True)


def _diabetes(_data: Diabetes) -> RawData:
    inputs, targets = datasets.load_diabetes(return_X_y=True)
    return RawData(np.asarray(inputs, np.float64), np.asarray(targets, np.float64)[:, None])


def _linear_regression(data: LinearRegression) -> RawData:
    random = np.random.default_rng(data.seed)
    weights = random.standard_normal(data.features) if data.coefficients is None else np.array(data.coefficients)
    inputs = random.uniform(data.low, data.high, (data.samples, data.features))
    targets = inputs @ weights + data.bias + data.noise * random.standard_normal(data.samples)
    return RawData(inputs, targets[:, None])


def _blobs(data: Blobs) -> RawData:
    inputs, targets = datasets.make_blobs(
        data.samples, data.features, centers=data.classes, cluster_std=data.noise, random_state=data.seed
    )[:2]
    return RawData(inputs, targets.astype(np.int64))


def _circles(data: Circles) -> RawData:
    inputs, targets = datasets.make_circles(
        data.samples, noise=data.noise or None, factor=data.factor, random_state=data.seed
    )
    return RawData(inputs, targets.astype(np.int64))


def _moons(data: Moons) -> RawData:
    inputs, targets = datasets.make_moons(data.samples, noise=data.noise or None, random_state=data.seed)
    return RawData(inputs, targets.astype(np.int64))


LOADERS: dict[type[Dataset], Callable[[Any], RawData]] = {
    Digits: _digits,
    BreastCancer: _shipped(datasets.load_breast_cancer),
    Wine: _shipped(datasets.load_wine),
    Iris: _shipped(datasets.load_iris),
    Diabetes: _diabetes,
    LinearRegression: _linear_regression,
    Blobs: _blobs,
    Circles: _circles,
    Moons: _moons,
}
