"""From raw rows to the two parts that a training uses: shuffled, limited, split, and scaled by the training part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.contract.data import DataFacts, Dataset
from gradclinic.training.data.raw import RawData, load_raw

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Rows to train on or to judge by: inputs (rows, ...) float32, targets (rows,) int64 or (rows, targets) float32."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class PreparedData:
    """Both parts, and the facts of the data. Without a validation part the training part is judged."""

    train: Part
    judged: Part
    facts: DataFacts


def prepare_data(data: Dataset) -> PreparedData:
    """Load a data set and make it ready: rows are shuffled with its seed, limited, split (validation first), scaled."""
    facts = data.facts()
    raw = load_raw(data)
    order = np.random.default_rng(data.seed).permutation(len(raw.inputs))[: facts.validation + facts.train]
    held_out, kept = order[: facts.validation], order[facts.validation :]
    inputs = _scaled(raw.inputs, kept, data, is_image=raw.is_image)
    targets = _scaled_targets(raw, kept) if data.normalize_target else raw.targets
    train = _part(inputs[kept], targets[kept])
    return PreparedData(train, _part(inputs[held_out], targets[held_out]) if len(held_out) else train, facts)


def _scaled(inputs: FloatArray, train: npt.NDArray[np.int64], data: Dataset, *, is_image: bool) -> FloatArray:
    if data.normalize is False:
        return inputs
    # Pixels are all of one kind: one mean and one deviation keep a border that is always black in its place.
    axes = tuple(range(inputs.ndim)) if is_image else (0,)
    known = inputs[train]
    if data.normalize == "minmax":
        low, high = known.min(axis=axes, keepdims=True), known.max(axis=axes, keepdims=True)
        span = np.where(high > low, high - low, 1.0)
        scaled: FloatArray = 2.0 * (inputs - low) / span - 1.0
        return scaled
    return _standardized(inputs, known.mean(axis=axes, keepdims=True), known.std(axis=axes, keepdims=True))


def _scaled_targets(raw: RawData, train: npt.NDArray[np.int64]) -> FloatArray:
    known = raw.targets[train]
    return _standardized(raw.targets, known.mean(axis=0, keepdims=True), known.std(axis=0, keepdims=True))


def _standardized(values: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    # A feature that never changes has no scale: it becomes 0 instead of 0 / 0.
    scaled: FloatArray = (values - mean) / np.where(deviation > 0, deviation, 1.0)
    return scaled


def _part(inputs: FloatArray, targets: npt.NDArray[np.generic]) -> Part:
    kind = torch.int64 if np.issubdtype(targets.dtype, np.integer) else torch.float32
    return Part(torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(targets).to(kind))
