"""Whether a layer can take its input, and which of its keywords follow from it: a function for each type, by kind.

Adding a layer takes a line in `FITS` only where its input has to be checked or a keyword follows from it; then that
keyword stands in `INFERRED`, too. The shape of its output needs no line at all: PyTorch works it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gradclinic.model.fits.activations import fit_glu, fit_prelu, fit_softmax
from gradclinic.model.fits.convolution import fit_convolution, fit_transposed
from gradclinic.model.fits.feedforward import fit_embedding, fit_flatten, fit_linear, fit_unflatten
from gradclinic.model.fits.misfit import Keywords, Misfit
from gradclinic.model.fits.normalization import (
    fit_batch_norm,
    fit_batch_norm_1d,
    fit_group_norm,
    fit_instance_norm,
    fit_layer_norm,
)
from gradclinic.model.fits.pooling import fit_adaptive, fit_pooling, fit_upsample, fit_zero_pad
from gradclinic.model.fits.regularization import fit_channel_dropout
from gradclinic.model.fits.sequence import (
    fit_attention,
    fit_positions,
    fit_recurrent,
    fit_reduction,
    fit_select,
    fit_transformer,
)
from gradclinic.model.sample import Shape

FITS: Mapping[str, Callable[[Any, Shape], Keywords | Misfit]] = MappingProxyType(
    {
        "Linear": fit_linear,
        "Flatten": fit_flatten,
        "Unflatten": fit_unflatten,
        "Embedding": fit_embedding,
        "PReLU": fit_prelu,
        "Softmax": fit_softmax,
        "LogSoftmax": fit_softmax,
        "GLU": fit_glu,
        **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), fit_convolution),
        **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d"), fit_transposed),
        **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), fit_pooling),
        **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), fit_pooling),
        **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d"), fit_adaptive),
        **dict.fromkeys(("AdaptiveMaxPool1d", "AdaptiveMaxPool2d"), fit_adaptive),
        "Upsample": fit_upsample,
        "ZeroPad2d": fit_zero_pad,
        "BatchNorm1d": fit_batch_norm_1d,
        **dict.fromkeys(("BatchNorm2d", "BatchNorm3d"), fit_batch_norm),
        **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d"), fit_instance_norm),
        **dict.fromkeys(("LayerNorm", "RMSNorm"), fit_layer_norm),
        "GroupNorm": fit_group_norm,
        **dict.fromkeys(("Dropout1d", "Dropout2d", "Dropout3d"), fit_channel_dropout),
        **dict.fromkeys(("RNN", "LSTM", "GRU"), fit_recurrent),
        "MultiheadAttention": fit_attention,
        "TransformerEncoderLayer": fit_transformer,
        "PositionalEncoding": fit_positions,
        **dict.fromkeys(("Mean", "Max"), fit_reduction),
        "Select": fit_select,
    }
)
"""By type, a function from the layer and the shape of a sample to the keywords that follow, or to what does not fit."""

INFERRED = frozenset(
    {
        "in_features", "in_channels", "num_features", "num_channels", "normalized_shape", "input_size", "d_model",
        "embed_dim",
    }
)  # fmt: skip
"""The keywords that may be left out. PyTorch knows no default for them, so None must not reach it."""

__all__ = ["FITS", "INFERRED", "Keywords", "Misfit"]
