"""Layers that take a dimension away."""

from __future__ import annotations

from torch import Tensor, nn


class Mean(nn.Module):
    """The mean over a dimension."""

    def __init__(self, dim: int, keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Tensor) -> Tensor:
        """Average x (N, ...) over the dimension."""
        return x.mean(dim=self.dim, keepdim=self.keepdim)


class Max(nn.Module):
    """The largest element over a dimension."""

    def __init__(self, dim: int, keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Tensor) -> Tensor:
        """Take the largest elements of x (N, ...) over the dimension; one of them gets the gradient."""
        return x.max(dim=self.dim, keepdim=self.keepdim).values


class Select(nn.Module):
    """One element of a dimension."""

    def __init__(self, dim: int, index: int) -> None:
        super().__init__()
        self.dim, self.index = dim, index

    def forward(self, x: Tensor) -> Tensor:
        """Take the elements of x (N, ...) at the index."""
        return x.select(self.dim, self.index)
