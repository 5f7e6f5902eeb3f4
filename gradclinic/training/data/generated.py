"""The rows of the data sets that are drawn: scikit-learn's generators and others of their kind, each from `data.seed`."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from gradclinic.contract.generated_data import (
    Blobs,
    Circles,
    GaussianQuantiles,
    LinearRegression,
    Moons,
    RandomImages,
    Spirals,
)
from gradclinic.files import RawData

SPIRAL_TURN = 0.64
"""Of an arm: the 4 radians of the spirals in Stanford's CS231n notes, which many have copied."""


def draw_linear_regression(data: LinearRegression) -> RawData:
    """Draw inputs from a box, and targets that follow from them by weights, a bias and noise."""
    random = np.random.default_rng(data.seed)
    weights = random.standard_normal(data.features) if data.coefficients is None else np.array(data.coefficients)
    inputs = random.uniform(data.low, data.high, (data.samples, data.features))
    targets = inputs @ weights + data.bias + data.noise * random.standard_normal(data.samples)
    return RawData(inputs, targets[:, None])


def draw_blobs(data: Blobs) -> RawData:
    """Draw Gaussian clusters."""
    inputs, targets = datasets.make_blobs(
        data.samples, data.features, centers=data.classes, cluster_std=data.noise, random_state=data.seed
    )[:2]
    return RawData(inputs, targets.astype(np.int64))


def draw_circles(data: Circles) -> RawData:
    """Draw a circle within a circle."""
    inputs, targets = datasets.make_circles(
        data.samples, noise=data.noise or None, factor=data.factor, random_state=data.seed
    )
    return RawData(inputs, targets.astype(np.int64))


def draw_moons(data: Moons) -> RawData:
    """Draw two half circles."""
    inputs, targets = datasets.make_moons(data.samples, noise=data.noise or None, random_state=data.seed)
    return RawData(inputs, targets.astype(np.int64))


def draw_spirals(data: Spirals) -> RawData:
    """Draw arms that wind outwards from the middle, evenly spaced, the points evenly along each."""
    targets = np.sort(np.arange(data.samples) % data.classes)
    of_arm = np.bincount(targets)
    along = (np.arange(data.samples) - (np.cumsum(of_arm) - of_arm)[targets] + 1) / of_arm[targets]  # (0, 1]
    angles = 2 * np.pi * (targets / data.classes + SPIRAL_TURN * along)
    points = along[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    noise = np.random.default_rng(data.seed).standard_normal(points.shape)
    return RawData(points + data.noise * noise, targets.astype(np.int64))


def draw_gaussian_quantiles(data: GaussianQuantiles) -> RawData:
    """Draw one Gaussian, and cut it into shells of as many points each."""
    random = np.random.default_rng(data.seed)
    inputs = random.standard_normal((data.samples, data.features))
    # scikit-learn's make_gaussian_quantiles means the same, but makes a matrix of features x features for it.
    outwards = np.argsort(np.einsum("ij,ij->i", inputs, inputs), kind="stable")
    targets = np.empty(data.samples, np.int64)
    targets[outwards] = np.minimum(np.arange(data.samples) // (data.samples // data.classes), data.classes - 1)
    if data.noise:
        inputs += data.noise * random.standard_normal(inputs.shape)
    return RawData(inputs, targets)


def draw_random_images(data: RandomImages) -> RawData:
    """Draw noise from N(0, 1) with labels that say nothing about it, as many of each."""
    random = np.random.default_rng(data.seed)
    pixels = random.standard_normal((data.samples, *data.shape), np.float32)
    return RawData(pixels, random.permutation(np.arange(data.samples) % data.classes), is_image=True)
