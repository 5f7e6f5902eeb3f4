"""Where a kernel or a window stands in its input: the arithmetic that convolutions and pooling share."""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.model.fits.misfit import Misfit
from gradclinic.model.sample import Shape, shown

DIMENSIONS = {1: "[N, channels, length]", 2: "[N, channels, height, width]", 3: "[N, channels, depth, height, width]"}
"""What layers over so many dimensions take. PyTorch would take one dimension less, too, and the batch for channels."""

ADD_CHANNELS = "an Unflatten before it adds a dimension, a Flatten joins two"


def spread(given: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    """Return a size for each dimension, of one for all or of one each."""
    return (given,) * dimensions if isinstance(given, int) else tuple(given) * (dimensions if len(given) == 1 else 1)


def too_wide(kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], shape: Shape) -> Misfit | None:
    """Say that a kernel reaches beyond its input [channels, ...], padding included, if it does."""
    for place, (size, width, step, pad) in enumerate(zip(shape[1:], kernel, dilation, padding, strict=True)):
        extent = step * (width - 1) + 1
        if extent > size + 2 * pad:
            padded = f", {size + 2 * pad} with its padding" if pad else ""
            detail = f"the kernel is {extent} wide along dimension {place + 2} of the input {shown(shape)}{padded}"
            return Misfit("kernel_size", detail, "a smaller kernel, a larger input, or more padding")
    return None
