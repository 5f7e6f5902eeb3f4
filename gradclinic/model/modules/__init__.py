"""The modules of layers that `torch.nn` does not have, or that give more than one tensor there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from gradclinic.model.modules.attention import MultiheadAttention, TransformerEncoderLayer
from gradclinic.model.modules.exponential import Exp
from gradclinic.model.modules.positional import PositionalEncoding
from gradclinic.model.modules.recurrent import GRU, LSTM, RNN
from gradclinic.model.modules.reduction import Max, Mean, Select

MODULES: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "Exp": Exp,
        "GRU": GRU,
        "LSTM": LSTM,
        "Max": Max,
        "Mean": Mean,
        "MultiheadAttention": MultiheadAttention,
        "PositionalEncoding": PositionalEncoding,
        "RNN": RNN,
        "Select": Select,
        "TransformerEncoderLayer": TransformerEncoderLayer,
    }
)
"""By the type of the layer; those that are missing are classes of `torch.nn` by that name."""

__all__ = ["MODULES"]
