"""What pooling, Upsample and ZeroPad2d take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradclinic.contract.pooling import Upsample, ZeroPad2d
from gradclinic.model.fits.misfit import Keywords, Misfit, wrong_rank
from gradclinic.model.fits.windows import ADD_CHANNELS, DIMENSIONS, spread, too_wide
from gradclinic.model.sample import Shape, shown

DIMENSIONS_OF_MODE = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
"""The dimensions that a kind of interpolation is for; `nearest` is for any."""


def fit_pooling(layer: Any, shape: Shape) -> Keywords | Misfit:
    """Check the windows of any pooling that has some."""
    fitted = fit_adaptive(layer, shape)
    if isinstance(fitted, Misfit):
        return fitted
    dimensions = len(shape) - 1
    kernel, padding = spread(layer.kernel_size, dimensions), spread(layer.padding, dimensions)
    dilation = spread(getattr(layer, "dilation", 1), dimensions)
    for width, step, pad in zip(kernel, dilation, padding, strict=True):
        most = (step * (width - 1) + 1) // 2
        if pad > most:
            return Misfit("padding", f"padding is {pad}, more than half of the window", f"at most {most}")
    # A last window that is not full may reach beyond the input: PyTorch's arithmetic says whether it does.
    return {} if layer.ceil_mode else too_wide(kernel, dilation, padding, shape) or {}


def fit_adaptive(layer: Any, shape: Shape) -> Keywords | Misfit:
    """Check the number of dimensions of any pooling."""
    dimensions = int(layer.type[-2])  # MaxPool2d: PyTorch's names say it
    return {} if len(shape) == dimensions + 1 else wrong_rank(shape, DIMENSIONS[dimensions], ADD_CHANNELS)


def fit_upsample(layer: Upsample, shape: Shape) -> Keywords | Misfit:
    """Check the kind of interpolation and the sizes against the number of dimensions."""
    dimensions = len(shape) - 1
    if dimensions not in DIMENSIONS:
        return wrong_rank(shape, "[N, channels, length] and up to two dimensions more", ADD_CHANNELS)
    needed = DIMENSIONS_OF_MODE.get(layer.mode, dimensions)
    if needed != dimensions:
        right = ", ".join(["nearest", *(mode for mode, count in DIMENSIONS_OF_MODE.items() if count == dimensions)])
        return Misfit("mode", f"mode {layer.mode} takes {DIMENSIONS[needed]}, but the input is {shown(shape)}", right)
    key, given = ("size", layer.size) if layer.size is not None else ("scale_factor", layer.scale_factor)
    if isinstance(given, Sequence) and len(given) != dimensions:
        detail = f"{key} has {len(given)} entries for the {dimensions} dimensions after the channels of {shown(shape)}"
        return Misfit(key, detail, f"a list of {dimensions}, or one for all")
    if layer.scale_factor is not None:
        factors = given if isinstance(given, Sequence) else (given or 1,) * dimensions
        if any(size * factor < 1 for size, factor in zip(shape[1:], factors, strict=True)):
            return Misfit(key, f"nothing is left of the input {shown(shape)}", "a larger factor")
    return {}


def fit_zero_pad(_: ZeroPad2d, shape: Shape) -> Keywords | Misfit:
    """Check that there is a picture."""
    return {} if len(shape) > 1 else wrong_rank(shape, "[N, ..., height, width]", ADD_CHANNELS)
