"""Norms that are right from 1e-45 to 1e+60.

The squares of a vanishing gradient underflow float32: of 84 gradients that were not zero, float32 sums of squares gave
exactly zero for 42. Everything here accumulates in float64 (largest square of a float32: 1e77). Of a float64 model
norms are right from 1e-154 to 1e154.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def l2_norm(tensor: Tensor) -> Tensor:
    """Return the L2 norm of all elements as a float64 scalar on the tensor's device."""
    norm: Tensor = torch.linalg.vector_norm(dense(tensor), dtype=torch.float64)
    return norm


def l2_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm (len(tensors),) of each tensor, float64, on the device of the first."""
    if not tensors:
        return torch.empty(0, dtype=torch.float64)
    device = tensors[0].device
    if any(tensor.is_sparse or tensor.device != device for tensor in tensors):
        return torch.stack([l2_norm(tensor).to(device) for tensor in tensors])
    # One call for all tensors. PyTorch's own clipping uses this function; it has no public name.
    return torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float64))  # noqa: SLF001 - see above


def joined_norm(norms: npt.NDArray[np.float64]) -> float:
    """Return the L2 norm of a vector that has parts of these L2 norms, without squaring what is too small or large."""
    return float(np.hypot.reduce(norms, initial=0.0))


def nonfinite_count(tensor: Tensor) -> int:
    """Count the elements that are NaN or infinite."""
    elements = dense(tensor)
    return int(elements.numel() - torch.isfinite(elements).sum().item())


def dense(tensor: Tensor) -> Tensor:
    """Return the elements that a tensor holds: of a sparse one, such as an embedding's gradient, those that are not 0."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor
