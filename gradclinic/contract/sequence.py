"""Layers over sequences [N, length, features]; the batch is always first."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import Index, Positive, Probability, Size, misfit
from gradclinic.contract.layer import LayerSpec, WeightedLayer


class _Recurrent(WeightedLayer):
    hidden_size: Size = Field(description="Size of the state.")
    input_size: Size | None = Field(None, description="Size of the input; follows from it.")
    num_layers: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Layers on top of each other.")
    bias: bool = Field(True, description="Add learned biases.")
    dropout: Probability = Field(0.0, description="Dropout between the layers.")
    bidirectional: bool = Field(False, description="Read backwards, too, and concatenate.")
    output: Literal["last", "sequence"] = Field("sequence", description="The output of the last step, or of all.")

    @model_validator(mode="after")
    def _dropout_is_between_layers(self) -> _Recurrent:
        if self.dropout > 0 and self.num_layers == 1:
            message = "dropout stands between the layers, and there is one layer only."
            raise misfit(message, at="dropout", expected="0, or num_layers of 2 or more")
        return self


class RNN(_Recurrent):
    """h = tanh(W x + U h + b). Elman 1990."""

    type: Literal["RNN"]
    nonlinearity: Literal["tanh", "relu"] = Field("tanh", description="The activation.")


class LSTM(_Recurrent):
    """Long short-term memory. Hochreiter & Schmidhuber 1997."""

    type: Literal["LSTM"]
    proj_size: Annotated[int, Field(ge=0, le=1_000_000)] = Field(0, description="Project the output to this size.")

    @model_validator(mode="after")
    def _projection_is_smaller(self) -> LSTM:
        if self.proj_size >= self.hidden_size:
            raise misfit("proj_size is not below hidden_size.", at="proj_size", expected="less than hidden_size")
        return self


class GRU(_Recurrent):
    """Gated recurrent unit. Cho et al. 2014."""

    type: Literal["GRU"]


class MultiheadAttention(WeightedLayer):
    """Self-attention with several heads. Vaswani et al. 2017."""

    type: Literal["MultiheadAttention"]
    num_heads: Size = Field(description="Number of heads; divides embed_dim.")
    embed_dim: Size | None = Field(None, description="Size of the input; follows from it.")
    dropout: Probability = Field(0.0, description="Dropout of the attention weights.")
    bias: bool = Field(True, description="Add learned biases.")
    add_bias_kv: bool = Field(False, description="Add a learned key and value.")
    add_zero_attn: bool = Field(False, description="Add a key and value of zeros.")


class TransformerEncoderLayer(WeightedLayer):
    """Self-attention and a feed-forward network, each with a residual connection. Vaswani et al. 2017."""

    type: Literal["TransformerEncoderLayer"]
    nhead: Size = Field(description="Number of heads; divides d_model.")
    d_model: Size | None = Field(None, description="Size of the input; follows from it.")
    dim_feedforward: Size = Field(2048, description="Size of the feed-forward network.")
    dropout: Probability = Field(0.1, description="Dropout.")
    activation: Literal["relu", "gelu"] = Field("relu", description="Activation of the feed-forward network.")
    layer_norm_eps: Positive = Field(1e-5, description="Added to the variance of the layer norms.")
    norm_first: bool = Field(False, description="Normalise before attention and feed-forward network, not after.")
    bias: bool = Field(True, description="Add learned biases.")


class PositionalEncoding(LayerSpec):
    """Add sinusoids that tell the places in a sequence apart. Vaswani et al. 2017, section 3.5."""

    type: Literal["PositionalEncoding"]


class _Reduction(LayerSpec):
    dim: Index = Field(description="The dimension; the batch is 0.")


class Mean(_Reduction):
    """The mean over a dimension."""

    type: Literal["Mean"]
    keepdim: bool = Field(False, description="Keep the dimension, with size 1.")


class Max(_Reduction):
    """The largest element over a dimension."""

    type: Literal["Max"]
    keepdim: bool = Field(False, description="Keep the dimension, with size 1.")


class Select(_Reduction):
    """One element of a dimension."""

    type: Literal["Select"]
    index: Index = Field(-1, description="Which one; -1 is the last.")


Recurrent = RNN | LSTM | GRU
"""Those that carry a state from step to step."""

Attention = MultiheadAttention | TransformerEncoderLayer
"""Those in which every place sees every other."""

Reduction = Mean | Max | Select
"""Those that take a dimension away."""

SequenceLayer = Recurrent | Attention | PositionalEncoding | Reduction
"""All of them."""
