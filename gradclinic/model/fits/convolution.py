"""What convolutions and transposed convolutions take."""

from __future__ import annotations

from gradclinic.contract.convolution import Conv1d, Conv2d, Conv3d, Convolution, ConvTranspose1d, ConvTranspose2d
from gradclinic.model.fits.misfit import Keywords, Misfit, fit_size, indivisible, wrong_rank
from gradclinic.model.fits.windows import ADD_CHANNELS, DIMENSIONS, spread, too_wide
from gradclinic.model.sample import Shape

PlainConvolution = Conv1d | Conv2d | Conv3d
TransposedConvolution = ConvTranspose1d | ConvTranspose2d


def fit_convolution(layer: PlainConvolution, shape: Shape) -> Keywords | Misfit:
    """Infer `in_channels`; check groups, stride and the kernel's extent."""
    fitted = _fit_channels(layer, shape)
    if isinstance(fitted, Misfit):
        return fitted
    dimensions = _dimensions(layer)
    if layer.padding == "same" and set(spread(layer.stride, dimensions)) != {1}:
        return Misfit("stride", "padding is 'same', which keeps the size, and a stride above 1 does not", "1")
    if not isinstance(layer.padding, str) or layer.padding == "valid":
        padding = spread(0 if isinstance(layer.padding, str) else layer.padding, dimensions)
        kernel, dilation = spread(layer.kernel_size, dimensions), spread(layer.dilation, dimensions)
        if (misfit := too_wide(kernel, dilation, padding, shape)) is not None:
            return misfit
    return fitted


def fit_transposed(layer: TransposedConvolution, shape: Shape) -> Keywords | Misfit:
    """Infer `in_channels`; check groups, and that what is added to the output is less than a step."""
    fitted = _fit_channels(layer, shape)
    if isinstance(fitted, Misfit):
        return fitted
    dimensions = _dimensions(layer)
    added = spread(layer.output_padding, dimensions)
    steps = zip(spread(layer.stride, dimensions), spread(layer.dilation, dimensions), strict=True)
    for extra, most in zip(added, map(max, steps), strict=True):
        if extra >= most:  # on `meta`, PyTorch lets it pass
            detail = f"output_padding is {extra}, and both stride and dilation are {most} or less"
            return Misfit("output_padding", detail, f"less than {most}")
    return fitted


def _fit_channels(layer: Convolution, shape: Shape) -> Keywords | Misfit:
    dimensions = _dimensions(layer)
    if len(shape) != dimensions + 1:
        return wrong_rank(shape, DIMENSIONS[dimensions], ADD_CHANNELS)
    fitted = fit_size("in_channels", layer.in_channels, shape[0], shape)
    if isinstance(fitted, Misfit):
        return fitted
    return (
        indivisible("groups", layer.groups, shape[0], "the channels of the input")
        or indivisible("groups", layer.groups, layer.out_channels, "out_channels")
        or fitted
    )


def _dimensions(layer: Convolution) -> int:
    return int(layer.type[-2])  # Conv2d: PyTorch's names say it
