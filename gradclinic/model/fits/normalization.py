"""What the normalisations take."""

from __future__ import annotations

import math

from gradclinic.contract.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from gradclinic.model.fits.misfit import Keywords, Misfit, fit_size, indivisible, wrong_rank
from gradclinic.model.fits.windows import ADD_CHANNELS, DIMENSIONS
from gradclinic.model.sample import Shape, shown


def fit_batch_norm_1d(layer: BatchNorm1d, shape: Shape) -> Keywords | Misfit:
    """Infer `num_features`, of vectors or of sequences."""
    if len(shape) not in (1, 2):
        return _keeping(shape, wrong_rank(shape, f"[N, features] or {DIMENSIONS[1]}", "a Flatten joins dimensions"))
    return fit_size("num_features", layer.num_features, shape[0], shape)


def fit_batch_norm(layer: BatchNorm2d | BatchNorm3d, shape: Shape) -> Keywords | Misfit:
    """Infer `num_features`."""
    return _fit_channels(layer, shape)


def fit_instance_norm(layer: InstanceNorm1d | InstanceNorm2d, shape: Shape) -> Keywords | Misfit:
    """Infer `num_features`; check that a channel has more than one value, without which it has no variance."""
    fitted = _fit_channels(layer, shape)
    if isinstance(fitted, dict) and math.prod(shape[1:]) == 1:
        detail = f"the input is {shown(shape)}: a channel of one value has no variance"
        return Misfit("", detail, "an input of more than one value a channel", shape)
    return fitted


def fit_layer_norm(layer: LayerNorm | RMSNorm, shape: Shape) -> Keywords | Misfit:
    """Infer `normalized_shape`, the last dimension."""
    if not shape:
        return _keeping(shape, wrong_rank(shape, "[N, ..., features]", "a keepdim before it keeps a dimension"))
    given = layer.normalized_shape
    if not isinstance(given, tuple):
        return fit_size("normalized_shape", given, shape[-1], shape)
    fitting = shape[-len(given) :]
    if given == fitting:
        return {}
    detail = f"normalized_shape is {list(given)}, but the last dimensions of the input {shown(shape)} are others"
    return Misfit("normalized_shape", detail, f"{list(fitting)}, or no normalized_shape", shape)


def fit_group_norm(layer: GroupNorm, shape: Shape) -> Keywords | Misfit:
    """Infer `num_channels`; check that the groups divide them and have more than one value each."""
    if not shape:
        return _keeping(shape, wrong_rank(shape, "[N, channels, ...]", "a keepdim before it keeps a dimension"))
    fitted = fit_size("num_channels", layer.num_channels, shape[0], shape)
    if isinstance(fitted, Misfit):
        return fitted
    misfit = indivisible("num_groups", layer.num_groups, shape[0], "the channels of the input")
    if misfit is None and math.prod(shape) == layer.num_groups:
        # PyTorch refuses that in a batch of one sample only; in any other, the output is 0 whatever the input.
        detail = (
            f"num_groups is {layer.num_groups}, and in the input {shown(shape)} a group of one value has no variance"
        )
        misfit = Misfit("num_groups", detail, "fewer groups")
    return fitted if misfit is None else _keeping(shape, misfit)


def _fit_channels(
    layer: BatchNorm2d | BatchNorm3d | InstanceNorm1d | InstanceNorm2d, shape: Shape
) -> Keywords | Misfit:
    dimensions = int(layer.type[-2])  # BatchNorm2d: PyTorch's names say it
    if len(shape) != dimensions + 1:
        return _keeping(shape, wrong_rank(shape, DIMENSIONS[dimensions], ADD_CHANNELS))
    return fit_size("num_features", layer.num_features, shape[0], shape)


def _keeping(shape: Shape, misfit: Misfit) -> Misfit:
    """Return the misfit of a layer that keeps the shape, whatever is mended."""
    return Misfit(misfit.key, misfit.detail, misfit.expected, shape)
