"""Convolutions, each by the name and keywords of its `torch.nn` class."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradclinic.contract.base import Size
from gradclinic.contract.layer import (
    Extent1,
    Extent2,
    Padding1,
    Padding2,
    Padding3,
    Size1,
    Size2,
    Size3,
    WeightedLayer,
)

KERNEL = "Size of the kernel."
STRIDE = "Step of the kernel."
DILATION = "Distance between the elements of the kernel."


class _Conv(WeightedLayer):
    out_channels: Size = Field(description="Number of channels of the output.")
    in_channels: Size | None = Field(None, description="Number of channels of the input; follows from it.")
    groups: Size = Field(1, description="Groups of channels that do not mix; divides both numbers of channels.")
    bias: bool = Field(True, description="Add a learned bias.")
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = Field(
        "zeros", description="What is added at the sides."
    )


class Conv1d(_Conv):
    """Cross-correlation over 1 dimension."""

    type: Literal["Conv1d"]
    kernel_size: Size1 = Field(description=KERNEL)
    stride: Size1 = Field(1, description=STRIDE)
    padding: Padding1 = Field(0, description="Zeros added at each side, or 'same'.")
    dilation: Size1 = Field(1, description=DILATION)


class Conv2d(_Conv):
    """Cross-correlation over 2 dimensions."""

    type: Literal["Conv2d"]
    kernel_size: Size2 = Field(description=KERNEL)
    stride: Size2 = Field(1, description=STRIDE)
    padding: Padding2 = Field(0, description="Zeros added at each side, or 'same'.")
    dilation: Size2 = Field(1, description=DILATION)


class Conv3d(_Conv):
    """Cross-correlation over 3 dimensions."""

    type: Literal["Conv3d"]
    kernel_size: Size3 = Field(description=KERNEL)
    stride: Size3 = Field(1, description=STRIDE)
    padding: Padding3 = Field(0, description="Zeros added at each side, or 'same'.")
    dilation: Size3 = Field(1, description=DILATION)


class ConvTranspose1d(_Conv):
    """The gradient of Conv1d with respect to its input, as a layer: it enlarges."""

    type: Literal["ConvTranspose1d"]
    kernel_size: Size1 = Field(description=KERNEL)
    stride: Size1 = Field(1, description=STRIDE)
    padding: Extent1 = Field(0, description="Taken away at each side of the output.")
    output_padding: Extent1 = Field(0, description="Added at one side of the output.")
    dilation: Size1 = Field(1, description=DILATION)
    padding_mode: Literal["zeros"] = Field("zeros", description="What is added at the sides.")


class ConvTranspose2d(_Conv):
    """The gradient of Conv2d with respect to its input, as a layer: it enlarges."""

    type: Literal["ConvTranspose2d"]
    kernel_size: Size2 = Field(description=KERNEL)
    stride: Size2 = Field(1, description=STRIDE)
    padding: Extent2 = Field(0, description="Taken away at each side of the output.")
    output_padding: Extent2 = Field(0, description="Added at one side of the output.")
    dilation: Size2 = Field(1, description=DILATION)
    padding_mode: Literal["zeros"] = Field("zeros", description="What is added at the sides.")


Convolution = Conv1d | Conv2d | Conv3d | ConvTranspose1d | ConvTranspose2d
"""All of them."""
