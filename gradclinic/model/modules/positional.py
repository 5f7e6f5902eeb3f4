"""The sinusoids that tell places in a sequence apart. Vaswani et al. 2017, section 3.5."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PositionalEncoding(nn.Module):
    """Adds sin(t / 10000^(2i/F)) to the features 2i of step t, and the cosine to the features 2i + 1."""

    table: Tensor

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        steps = torch.arange(length, dtype=torch.float32).unsqueeze(1)  # (T, 1)
        rates = torch.exp(torch.arange(0, features, 2, dtype=torch.float32) * (-math.log(10_000.0) / features))
        table = torch.empty(length, features)
        table[:, 0::2] = torch.sin(steps * rates)
        table[:, 1::2] = torch.cos(steps * rates)[:, : features // 2]  # an odd number of features has one cosine less
        self.register_buffer("table", table, persistent=False)  # it follows from the sizes

    def forward(self, x: Tensor) -> Tensor:
        """Add the table (T, F) to each of the sequences x (N, T, F)."""
        return x + self.table
