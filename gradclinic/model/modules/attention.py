"""PyTorch's attention over one sequence, with one tensor as output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class MultiheadAttention(nn.MultiheadAttention):
    """Self-attention: (N, T, E) to (N, T, E)."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # query, key and value are the same, the weights dropped
        """Let every place of the sequences x (N, T, E) see every other."""
        y: Tensor = super().forward(x, x, x, need_weights=False)[0]
        return y


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    """Attention and a feed-forward network: (N, T, E) to (N, T, E)."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, batch_first=True)
