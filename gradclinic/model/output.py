"""Which key of a spec sets the size of the model's output, so that a fault of that size stands where it can be mended."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from gradclinic.contract.activations import AnyActivation, LogSoftmax, Softmax
from gradclinic.contract.feedforward import Identity
from gradclinic.contract.layers import AnyLayer, Layers, Repeat, Sequential
from gradclinic.contract.normalization import Normalization
from gradclinic.contract.regularization import Regularization
from gradclinic.contract.sequence import Attention, Max, Mean, PositionalEncoding, Select
from gradclinic.contract.spec import GraphModel, Model
from gradclinic.model.place import MODEL, model_pointer

KEEPING: tuple[type, ...] = (
    *get_args(AnyActivation),
    *get_args(Normalization),
    *get_args(Regularization),
    *get_args(Attention),
    Softmax,
    LogSoftmax,
    Identity,
    PositionalEncoding,
)
"""The layers that keep the shape."""

SETTING: Mapping[str, str] = MappingProxyType(
    {
        "Linear": "out_features",
        "Embedding": "embedding_dim",
        "RNN": "hidden_size",
        "LSTM": "hidden_size",
        "GRU": "hidden_size",
    }
)
"""The key that sets the size of the last dimension, by type."""


def size_pointer(model: Model | GraphModel) -> str:
    """Return the pointer of what sets the size of the output: the last Linear's `out_features` if it decides."""
    return model_pointer(model) if isinstance(model, GraphModel) else _size_pointer(model.layers, MODEL.pointer)


def _size_pointer(layers: Layers, pointer: str) -> str:
    for index in range(len(layers) - 1, -1, -1):
        layer, where = layers[index], f"{pointer}/{index}"
        if isinstance(layer, KEEPING) or _keeps_last_dimension(layer):
            continue
        if layer.type in SETTING:
            return f"{where}/{SETTING[layer.type]}"
        return _size_pointer(layer.layers, f"{where}/layers") if isinstance(layer, Sequential | Repeat) else where
    return pointer


def _keeps_last_dimension(layer: AnyLayer) -> bool:
    """Tell whether a reduction takes away one of the dimensions before the last, as far as it says so by itself."""
    return isinstance(layer, Mean | Max | Select) and layer.dim not in (-1, 0)
