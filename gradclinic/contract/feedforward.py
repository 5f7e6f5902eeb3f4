"""Layers of plain feed-forward networks, each by the name and keywords of its `torch.nn` class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gradclinic.contract.base import Index, NonNegative, Positive, Size
from gradclinic.contract.layer import LayerSpec, WeightedLayer


class Linear(WeightedLayer):
    """y = x W^T + b."""

    type: Literal["Linear"]
    out_features: Size = Field(description="Size of the output.")
    in_features: Size | None = Field(None, description="Size of the input; follows from it.")
    bias: bool = Field(True, description="Add a learned bias.")


class Flatten(LayerSpec):
    """Join the dimensions from start_dim to end_dim into one."""

    type: Literal["Flatten"]
    start_dim: Index = Field(1, description="First dimension joined; the batch is 0.")
    end_dim: Index = Field(-1, description="Last dimension joined.")


class Unflatten(LayerSpec):
    """Split one dimension into several."""

    type: Literal["Unflatten"]
    dim: Index = Field(description="The dimension split; the batch is 0.")
    unflattened_size: Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=6)] = Field(
        description="What it is split into."
    )


class Identity(LayerSpec):
    """Pass the input on as it is."""

    type: Literal["Identity"]


class Embedding(WeightedLayer):
    """A learned vector for each token; takes integers."""

    type: Literal["Embedding"]
    num_embeddings: Size = Field(description="Number of tokens.")
    embedding_dim: Size = Field(description="Size of each vector.")
    padding_idx: Index | None = Field(None, description="A token whose vector is not trained.")
    max_norm: Positive | None = Field(None, description="Vectors longer than this are shortened when they are used.")
    norm_type: NonNegative = Field(2.0, description="The p of that norm.")
    scale_grad_by_freq: bool = Field(False, description="Divide gradients by the token's frequency in the batch.")
