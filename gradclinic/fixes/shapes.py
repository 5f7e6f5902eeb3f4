"""What one layer makes of the shape of a sample, on paper: PyTorch's arithmetic for layers that hold no others.

A sample has no batch dimension here, so that dimension 1 of a layer is place 0. Where a layer does not take a shape, its
output cannot be told: None. `gradclinic.model` resolves the real modules, and needs torch for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from gradclinic.contract.activations import GLU, AnyActivation, LogSoftmax, Softmax
from gradclinic.contract.convolution import Conv1d, Conv2d, Conv3d, Convolution, ConvTranspose1d, ConvTranspose2d
from gradclinic.contract.feedforward import Embedding, Flatten, Identity, Linear, Unflatten
from gradclinic.contract.layers import AnyLayer
from gradclinic.contract.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    Normalization,
    RMSNorm,
)
from gradclinic.contract.pooling import Pooling, Upsample, ZeroPad2d
from gradclinic.contract.regularization import Regularization
from gradclinic.contract.sequence import (
    LSTM,
    Attention,
    Max,
    Mean,
    MultiheadAttention,
    PositionalEncoding,
    Recurrent,
    Reduction,
    Select,
    TransformerEncoderLayer,
)

Shape = tuple[int, ...] | None
"""The shape of one sample, without the batch; None where it cannot be told."""

Known = tuple[int, ...]

_TAKES_SEQUENCES = 2
"""Dimensions of a sequence: length and features."""


def leaf_output(layer: AnyLayer, shape: Shape) -> Shape:
    """Return the shape that a layer without layers of its own makes of one sample of `shape`."""
    if shape is None:
        return None
    match layer:
        case Linear():
            fits = bool(shape) and layer.in_features in (None, shape[-1])
            return (*shape[:-1], layer.out_features) if fits else None
        case Conv1d() | Conv2d() | Conv3d() | ConvTranspose1d() | ConvTranspose2d():
            return _convolved(layer, shape)
        case _ if isinstance(layer, get_args(Recurrent)):
            return _recurrent(layer, shape)
        case _ if isinstance(layer, get_args(Attention) + get_args(Normalization)):
            return shape if _takes(layer, shape) else None
        case _ if isinstance(layer, get_args(Pooling)):
            return _pooled(layer, shape)
        case _ if isinstance(layer, get_args(Reduction)):
            return _reduced(layer, shape)
    return _moved(layer, shape)


def place_of(dim: int, shape: Known) -> int | None:
    """Return the place in `shape` of a dimension that counts the batch as 0; None of the batch and of none that is there."""
    place = dim - 1 if dim > 0 else dim + len(shape)
    return place if dim != 0 and 0 <= place < len(shape) else None


class _Window(NamedTuple):
    """A kernel's sizes along each dimension."""

    width: Known
    step: Known
    apart: Known
    padding: Known

    def places(self, sizes: Sequence[int], *, ceil: bool = False) -> list[int]:
        """Count its places along each dimension; with `ceil` one that is not full counts, if it starts inside."""
        counts = []
        for size, width, step, apart, pad in zip(sizes, *self, strict=True):
            room = size + 2 * pad - apart * (width - 1) - 1
            count = (-(-room // step) if ceil else room // step) + 1
            counts.append(count - 1 if ceil and (count - 1) * step >= size + pad else count)
        return counts

    def spans(self, sizes: Sequence[int], added: Known) -> list[int]:
        """Return the sizes of which it has so many places: the other way round, of a transposed convolution."""
        every = zip(sizes, *self, added, strict=True)
        return [
            (size - 1) * step - 2 * pad + apart * (wide - 1) + more + 1 for size, wide, step, apart, pad, more in every
        ]


def _convolved(layer: Convolution, shape: Known) -> Shape:
    dimensions = len(shape) - 1
    fits = dimensions == int(layer.type[-2]) and layer.in_channels in (None, shape[0])
    if not fits or shape[0] % layer.groups or layer.out_channels % layer.groups:
        return None
    if layer.padding == "same":
        return (layer.out_channels, *shape[1:])
    padding = 0 if isinstance(layer.padding, str) else layer.padding
    sides = (layer.kernel_size, layer.stride, layer.dilation, padding)
    window = _Window(*(_spread(side, dimensions) for side in sides))
    if isinstance(layer, ConvTranspose1d | ConvTranspose2d):
        sizes = window.spans(shape[1:], _spread(layer.output_padding, dimensions))
    else:
        sizes = window.places(shape[1:])
    return (layer.out_channels, *sizes) if min(sizes) > 0 else None


def _pooled(layer: Any, shape: Known) -> Shape:
    dimensions = len(shape) - 1
    if dimensions != int(layer.type[-2]):
        return None
    if layer.type.startswith("Adaptive"):
        return (shape[0], *_spread(layer.output_size, dimensions))
    step = layer.kernel_size if layer.stride is None else layer.stride
    sides = (layer.kernel_size, step, getattr(layer, "dilation", 1), layer.padding)
    sizes = _Window(*(_spread(side, dimensions) for side in sides)).places(shape[1:], ceil=layer.ceil_mode)
    return (shape[0], *sizes) if min(sizes) > 0 else None


def _recurrent(layer: Recurrent, shape: Known) -> Shape:
    if len(shape) != _TAKES_SEQUENCES or layer.input_size not in (None, shape[1]):
        return None
    size = layer.proj_size or layer.hidden_size if isinstance(layer, LSTM) else layer.hidden_size
    features = size * (2 if layer.bidirectional else 1)
    return (features,) if layer.output == "last" else (shape[0], features)


def _takes(layer: Any, shape: Known) -> bool:
    """Whether a layer that keeps the shape takes it."""
    match layer:
        case MultiheadAttention() | TransformerEncoderLayer():
            size, heads = (
                (layer.embed_dim, layer.num_heads)
                if isinstance(layer, MultiheadAttention)
                else (layer.d_model, layer.nhead)
            )
            return len(shape) == _TAKES_SEQUENCES and size in (None, shape[1]) and not shape[1] % heads
        case LayerNorm() | RMSNorm():
            given = layer.normalized_shape
            last = (given,) if isinstance(given, int) else given
            return bool(shape) and (last is None or tuple(last) == shape[-len(last) :])
        case GroupNorm():
            return bool(shape) and layer.num_channels in (None, shape[0]) and not shape[0] % layer.num_groups
        case BatchNorm1d() | BatchNorm2d() | BatchNorm3d() | InstanceNorm1d() | InstanceNorm2d():
            ranks = {int(layer.type[-2]) + 1} | ({1} if isinstance(layer, BatchNorm1d) else set())
            return len(shape) in ranks and layer.num_features in (None, shape[0])
    return False


def _reduced(layer: Mean | Max | Select, shape: Known) -> Shape:
    place = place_of(layer.dim, shape)
    if place is None:
        return None
    kept = (1,) if not isinstance(layer, Select) and layer.keepdim else ()
    return (*shape[:place], *kept, *shape[place + 1 :])


def _moved(layer: AnyLayer, shape: Known) -> Shape:
    """Return the output of the layers that have no weights and no window."""
    match layer:
        case Flatten():
            return _flattened(layer, shape)
        case Unflatten():
            place, parts = place_of(layer.dim, shape), layer.unflattened_size
            fits = place is not None and math.prod(parts) == shape[place]
            return (*shape[:place], *parts, *shape[place + 1 :]) if fits and place is not None else None
        case Embedding():
            return (*shape, layer.embedding_dim)
        case GLU():
            place = place_of(layer.dim, shape)
            if place is None or shape[place] % 2:
                return None
            return (*shape[:place], shape[place] // 2, *shape[place + 1 :])
        case Upsample():
            return _enlarged(layer, shape)
        case ZeroPad2d() if len(shape) > 1:
            left, right, top, bottom = _spread(layer.padding, 4)
            return (*shape[:-2], shape[-2] + top + bottom, shape[-1] + left + right)
        case Identity() | Softmax() | LogSoftmax() | PositionalEncoding():
            return shape
        case _ if isinstance(layer, get_args(AnyActivation) + get_args(Regularization)):
            return shape
    return None


def _enlarged(layer: Upsample, shape: Known) -> Shape:
    dimensions = len(shape) - 1
    if dimensions < 1:
        return None
    if layer.size is not None:
        return (shape[0], *_spread(layer.size, dimensions))
    given = layer.scale_factor or 1.0
    factors = (given,) * dimensions if isinstance(given, int | float) else tuple(given)
    if len(factors) != dimensions:
        return None
    return (shape[0], *(math.floor(size * factor) for size, factor in zip(shape[1:], factors, strict=True)))


def _flattened(layer: Flatten, shape: Known) -> Shape:
    dimensions = len(shape) + 1  # the batch is 0
    start, end = (dim + dimensions if dim < 0 else dim for dim in (layer.start_dim, layer.end_dim))
    if not 1 <= start <= end < dimensions:  # joined with the batch, or no such dimension
        return None
    return (*shape[: start - 1], math.prod(shape[start - 1 : end]), *shape[end:])


def _spread(given: int | Sequence[int], dimensions: int) -> Known:
    """Return a size for each dimension, of one for all or of one each."""
    return (given,) * dimensions if isinstance(given, int) else tuple(given) * (dimensions if len(given) == 1 else 1)
