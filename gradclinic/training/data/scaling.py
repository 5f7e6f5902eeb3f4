"""Scaling inputs and targets by what the training part alone shows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradclinic.files import RawData

Numbers = npt.NDArray[Any]


def scale_inputs(raw: RawData, train: npt.NDArray[np.int64], how: bool | Literal["minmax"]) -> Numbers:
    """Scale each feature of a table by itself, images by one scale, and sequences and tokens not at all."""
    if how is False or raw.is_sequence:
        return raw.inputs
    inputs = _as_floats(raw.inputs)
    # Pixels are all of one kind: one mean and one deviation keep a border that is always black in its place.
    axes = tuple(range(inputs.ndim)) if raw.is_image else (0,)
    known = inputs[train]
    if how == "minmax":
        low, high = known.min(axis=axes, keepdims=True), known.max(axis=axes, keepdims=True)
        scaled: Numbers = 2.0 * (inputs - low) / np.where(high > low, high - low, 1.0) - 1.0
        return scaled
    return _standardized(inputs, known, axes)


def scale_targets(targets: Numbers, train: npt.NDArray[np.int64]) -> Numbers:
    """Scale each target of a regression by its own mean and deviation."""
    return _standardized(targets, targets[train], (0,))


def _as_floats(values: Numbers) -> Numbers:
    """Return pixels and the like as float32, half the memory of float64 and exact; all else as it is or as float64."""
    if values.dtype.kind in "biu":
        return values.astype(np.float32 if values.itemsize <= 2 else np.float64)
    return values.astype(np.float32) if values.itemsize < 4 else values


def _standardized(values: Numbers, known: Numbers, axes: tuple[int, ...]) -> Numbers:
    mean = known.mean(axis=axes, keepdims=True, dtype=np.float64)
    deviation = known.std(axis=axes, keepdims=True, dtype=np.float64)
    # A feature that never changes has no scale: it becomes 0 instead of 0 / 0. Its computed deviation need not be 0:
    # that of 1438 times 98.6 is 1e-14, and a row that differs by 1 would become 1e14.
    moves = known.max(axis=axes, keepdims=True) > known.min(axis=axes, keepdims=True)
    scale = np.where(moves & (deviation > 0), deviation, 1.0)
    scaled: Numbers = (values - mean.astype(values.dtype)) / scale.astype(values.dtype)
    return scaled
