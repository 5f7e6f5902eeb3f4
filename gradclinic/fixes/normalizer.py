"""Which normalization a model can bear."""

from __future__ import annotations

from collections.abc import Iterable

from gradclinic.contract.dataset import facts_of_rows
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.shapes import Shape

MIN_BATCH = 8
"""Samples a batch below which batch statistics are too noisy. Wu & He 2018, arXiv:1803.08494, figure 1."""

MIN_FEATURES = 4
"""Features below which layer normalization leaves hardly more than signs; of one feature it leaves 0."""


def fitting_normalization(posted: Posted, inputs: Iterable[Shape]) -> str:
    """Return the type of normalization for samples of these shapes: of the batch, or of each sample alone."""
    raw, batch = posted.spec.data.raw_facts(), posted.spec.training.batch_size
    if raw is not None:
        batch = min(batch, facts_of_rows(posted.spec.data, raw).train)
    are_vectors = all(shape is not None and len(shape) == 1 for shape in inputs)
    return "BatchNorm1d" if batch >= MIN_BATCH and are_vectors else "LayerNorm"
