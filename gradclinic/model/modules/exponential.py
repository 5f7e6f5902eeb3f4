"""The exponential function as a layer, which PyTorch does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Exp(nn.Module):
    """exp(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return exp(x) of x (N, ...)."""
        return torch.exp(x)
