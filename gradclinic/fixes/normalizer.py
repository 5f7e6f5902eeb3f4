"""Which normalization a model can bear, behind or in front of a layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradclinic.contract.dataset import facts_of_rows
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer
from gradclinic.fixes.posted import CONVOLUTIONS, Posted
from gradclinic.fixes.shapes import Shape

MIN_BATCH = 8
"""Samples a batch below which batch statistics are too noisy. Wu & He 2018, arXiv:1803.08494, figure 1."""

MIN_FEATURES = 4
"""Features below which layer normalization leaves hardly more than signs; of one feature it leaves 0."""

MOST_GROUPS = 32
"""Groups of a group normalization (Wu & He 2018); fewer where the channels are not to be divided by so many."""


def fitting_normalization(
    posted: Posted, layer: AnyLayer, inputs: Iterable[Shape], channels: int | None
) -> dict[str, Any] | None:
    """Return the normalization for numbers like those of a layer: over the batch, or over each sample where batches are small.

    Args:
        posted: The spec.
        layer: The layer with weights that it stands beside.
        inputs: The shapes that arrive at the layer.
        channels: Number of channels, or features, that are normalized; None where it is not known.

    Returns:
        None where no normalization would leave enough.
    """
    over_batch = _batch(posted) >= MIN_BATCH
    if isinstance(layer, CONVOLUTIONS):
        if over_batch:
            return {"type": f"BatchNorm{layer.type[-2:]}"}
        if channels is None:
            return None
        # A group of one channel would be an instance normalization, which takes away what pictures differ by.
        most = max(1, min(MOST_GROUPS, channels // 2))
        groups = max(number for number in range(1, most + 1) if channels % number == 0)
        return {"type": "GroupNorm", "num_groups": groups}
    are_vectors = all(shape is not None and len(shape) == 1 for shape in inputs)
    if over_batch and are_vectors and isinstance(layer, Linear):
        return {"type": "BatchNorm1d"}
    return {"type": "LayerNorm"} if channels is not None and channels >= MIN_FEATURES else None


def _batch(posted: Posted) -> int:
    raw, batch = posted.spec.data.raw_facts(), posted.spec.training.batch_size
    return batch if raw is None else min(batch, facts_of_rows(posted.spec.data, raw).train)
