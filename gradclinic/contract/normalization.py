"""Layers that fix the scale of what passes through them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradclinic.contract.base import Positive, Probability, Size
from gradclinic.contract.layer import SizeOrSizes, WeightedLayer


class _BatchNorm(WeightedLayer):
    num_features: Size | None = Field(None, description="Number of features; follows from the input.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    momentum: Probability | None = Field(0.1, description="Of the running statistics; null averages all batches.")
    affine: bool = Field(True, description="Learn a scale and a shift.")
    track_running_stats: bool = Field(True, description="Keep running statistics for evaluation.")


class BatchNorm1d(_BatchNorm):
    """Normalise each feature over the batch (and the length). Ioffe & Szegedy 2015."""

    type: Literal["BatchNorm1d"]


class BatchNorm2d(_BatchNorm):
    """Normalise each channel over the batch and the picture. Ioffe & Szegedy 2015."""

    type: Literal["BatchNorm2d"]


class BatchNorm3d(_BatchNorm):
    """Normalise each channel over the batch and the volume. Ioffe & Szegedy 2015."""

    type: Literal["BatchNorm3d"]


class LayerNorm(WeightedLayer):
    """Normalise each sample over its last dimensions. Ba et al. 2016."""

    type: Literal["LayerNorm"]
    normalized_shape: SizeOrSizes | None = Field(None, description="The dimensions normalised; by default the last.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    elementwise_affine: bool = Field(True, description="Learn a scale and a shift.")
    bias: bool = Field(True, description="Learn the shift.")


class RMSNorm(WeightedLayer):
    """Divide each sample by the root of its mean square. Zhang & Sennrich 2019."""

    type: Literal["RMSNorm"]
    normalized_shape: SizeOrSizes | None = Field(None, description="The dimensions normalised; by default the last.")
    eps: Positive | None = Field(None, description="Added to the mean square; null is the machine's epsilon.")
    elementwise_affine: bool = Field(True, description="Learn a scale.")


class GroupNorm(WeightedLayer):
    """Normalise each sample over groups of its channels. Wu & He 2018."""

    type: Literal["GroupNorm"]
    num_groups: Size = Field(description="Number of groups; divides the number of channels.")
    num_channels: Size | None = Field(None, description="Number of channels; follows from the input.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    affine: bool = Field(True, description="Learn a scale and a shift.")


class _InstanceNorm(WeightedLayer):
    num_features: Size | None = Field(None, description="Number of channels; follows from the input.")
    eps: Positive = Field(1e-5, description="Added to the variance.")
    momentum: Probability = Field(0.1, description="Of the running statistics.")
    affine: bool = Field(False, description="Learn a scale and a shift.")
    track_running_stats: bool = Field(False, description="Keep running statistics for evaluation.")


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each sample over its length. Ulyanov et al. 2016."""

    type: Literal["InstanceNorm1d"]


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each sample over its picture. Ulyanov et al. 2016."""

    type: Literal["InstanceNorm2d"]


BatchNormalization = BatchNorm1d | BatchNorm2d | BatchNorm3d
"""Those that need more than one sample."""

Normalization = (
    BatchNorm1d | BatchNorm2d | BatchNorm3d | LayerNorm | RMSNorm | GroupNorm | InstanceNorm1d | InstanceNorm2d
)
"""All of them."""
