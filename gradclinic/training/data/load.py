"""The list of all loaders: who loads, draws or reads which data set.

Adding a data set is one function beside those of its kind and one line here, beside its class in the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sklearn import datasets

from gradclinic.contract.data import AnyData
from gradclinic.contract.dataset import Dataset
from gradclinic.contract.generated_data import (
    AddingProblem,
    Blobs,
    Circles,
    CopyMemory,
    GaussianQuantiles,
    LinearRegression,
    Moons,
    RandomImages,
    Spirals,
)
from gradclinic.contract.shipped_data import BreastCancer, Diabetes, Digits, Iris, Wine
from gradclinic.files import Files, RawData, read_rows
from gradclinic.training.data.generated import (
    draw_blobs,
    draw_circles,
    draw_gaussian_quantiles,
    draw_linear_regression,
    draw_moons,
    draw_random_images,
    draw_spirals,
)
from gradclinic.training.data.sequences import draw_adding_problem, draw_copy_memory
from gradclinic.training.data.shipped import load_classes, load_diabetes, load_digits

LOADERS: dict[type[Dataset], Callable[[Any], RawData]] = {
    Digits: load_digits,
    BreastCancer: load_classes(datasets.load_breast_cancer),
    Wine: load_classes(datasets.load_wine),
    Iris: load_classes(datasets.load_iris),
    Diabetes: load_diabetes,
    LinearRegression: draw_linear_regression,
    Blobs: draw_blobs,
    Circles: draw_circles,
    Moons: draw_moons,
    Spirals: draw_spirals,
    GaussianQuantiles: draw_gaussian_quantiles,
    AddingProblem: draw_adding_problem,
    CopyMemory: draw_copy_memory,
    RandomImages: draw_random_images,
}
"""Those that come with us; `gradclinic.files` reads those that a user brings."""


def load_rows(data: AnyData, files: Files | None = None) -> RawData:
    """Load, draw or read all rows of a data set, in its own order.

    Raises:
        InvalidSpec: A file is missing, cannot be read, or holds something else.
    """
    loader = LOADERS.get(type(data))
    if loader is None:
        return read_rows(data, files)
    known = data.raw_facts()
    return replace(loader(data), classes=None if known is None else known.classes)
