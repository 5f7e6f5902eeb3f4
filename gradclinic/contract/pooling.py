"""Layers that make pictures and sequences smaller or larger without parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from gradclinic.contract.base import Positive, Size, misfit
from gradclinic.contract.layer import (
    Extent,
    Extent1,
    Extent2,
    Extent3,
    LayerSpec,
    Size1,
    Size2,
    Size3,
    SizeOrSizes,
    which,
)

WINDOW = "Size of the window."
STRIDE = "Step of the window; by default its size."
CEIL = "Keep a last window that is not full."


class MaxPool1d(LayerSpec):
    """The largest element of each window."""

    type: Literal["MaxPool1d"]
    kernel_size: Size1 = Field(description=WINDOW)
    stride: Size1 | None = Field(None, description=STRIDE)
    padding: Extent1 = Field(0, description="Added at each side; at most half the window.")
    dilation: Size1 = Field(1, description="Distance between the elements of the window.")
    ceil_mode: bool = Field(False, description=CEIL)


class MaxPool2d(LayerSpec):
    """The largest element of each window."""

    type: Literal["MaxPool2d"]
    kernel_size: Size2 = Field(description=WINDOW)
    stride: Size2 | None = Field(None, description=STRIDE)
    padding: Extent2 = Field(0, description="Added at each side; at most half the window.")
    dilation: Size2 = Field(1, description="Distance between the elements of the window.")
    ceil_mode: bool = Field(False, description=CEIL)


class MaxPool3d(LayerSpec):
    """The largest element of each window."""

    type: Literal["MaxPool3d"]
    kernel_size: Size3 = Field(description=WINDOW)
    stride: Size3 | None = Field(None, description=STRIDE)
    padding: Extent3 = Field(0, description="Added at each side; at most half the window.")
    dilation: Size3 = Field(1, description="Distance between the elements of the window.")
    ceil_mode: bool = Field(False, description=CEIL)


class AvgPool1d(LayerSpec):
    """The mean of each window."""

    type: Literal["AvgPool1d"]
    kernel_size: Size1 = Field(description=WINDOW)
    stride: Size1 | None = Field(None, description=STRIDE)
    padding: Extent1 = Field(0, description="Zeros added at each side; at most half the window.")
    ceil_mode: bool = Field(False, description=CEIL)
    count_include_pad: bool = Field(True, description="Count the zeros that were added.")


class AvgPool2d(LayerSpec):
    """The mean of each window."""

    type: Literal["AvgPool2d"]
    kernel_size: Size2 = Field(description=WINDOW)
    stride: Size2 | None = Field(None, description=STRIDE)
    padding: Extent2 = Field(0, description="Zeros added at each side; at most half the window.")
    ceil_mode: bool = Field(False, description=CEIL)
    count_include_pad: bool = Field(True, description="Count the zeros that were added.")
    divisor_override: Size | None = Field(None, description="Divide by this instead of the window's size.")


class AvgPool3d(LayerSpec):
    """The mean of each window."""

    type: Literal["AvgPool3d"]
    kernel_size: Size3 = Field(description=WINDOW)
    stride: Size3 | None = Field(None, description=STRIDE)
    padding: Extent3 = Field(0, description="Zeros added at each side; at most half the window.")
    ceil_mode: bool = Field(False, description=CEIL)
    count_include_pad: bool = Field(True, description="Count the zeros that were added.")
    divisor_override: Size | None = Field(None, description="Divide by this instead of the window's size.")


class AdaptiveAvgPool1d(LayerSpec):
    """The mean of each window, with windows that give this size of output."""

    type: Literal["AdaptiveAvgPool1d"]
    output_size: Size1 = Field(description="Size of the output.")


class AdaptiveAvgPool2d(LayerSpec):
    """The mean of each window, with windows that give this size of output."""

    type: Literal["AdaptiveAvgPool2d"]
    output_size: Size2 = Field(description="Size of the output.")


class AdaptiveMaxPool1d(LayerSpec):
    """The largest element of each window, with windows that give this size of output."""

    type: Literal["AdaptiveMaxPool1d"]
    output_size: Size1 = Field(description="Size of the output.")


class AdaptiveMaxPool2d(LayerSpec):
    """The largest element of each window, with windows that give this size of output."""

    type: Literal["AdaptiveMaxPool2d"]
    output_size: Size2 = Field(description="Size of the output.")


class Upsample(LayerSpec):
    """Enlarge by interpolation."""

    type: Literal["Upsample"]
    size: SizeOrSizes | None = Field(None, description="Size of the output, instead of scale_factor.")
    scale_factor: (
        Annotated[
            Annotated[Positive, Tag("size")]
            | Annotated[tuple[Positive, ...], Field(strict=False, min_length=1, max_length=3), Tag("sizes")],
            which("size", "sizes"),
        ]
        | None
    ) = Field(None, description="Factor of the size.")
    mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear"] = Field(
        "nearest", description="Kind of interpolation."
    )
    align_corners: bool | None = Field(None, description="Keep the values at the corners; not with nearest.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Upsample:
        if (self.size is None) == (self.scale_factor is None):
            raise misfit("Either size or scale_factor has to be given.", at="scale_factor", expected="one of the two")
        if self.mode == "nearest" and self.align_corners is not None:
            raise misfit("nearest has no corners to align.", at="align_corners", expected="no align_corners")
        return self


class ZeroPad2d(LayerSpec):
    """Add zeros at the sides of a picture."""

    type: Literal["ZeroPad2d"]
    padding: Annotated[
        Annotated[Extent, Tag("size")]
        | Annotated[tuple[Extent, Extent, Extent, Extent], Field(strict=False), Tag("sizes")],
        which("size", "sizes"),
    ] = Field(description="At all sides, or left, right, top and bottom.")


Pooling = (
    MaxPool1d | MaxPool2d | MaxPool3d | AvgPool1d | AvgPool2d | AvgPool3d | AdaptiveAvgPool1d | AdaptiveAvgPool2d
    | AdaptiveMaxPool1d | AdaptiveMaxPool2d
)  # fmt: skip
"""Those that take something of each window."""

Resizing = Pooling | Upsample | ZeroPad2d
"""All of them."""
