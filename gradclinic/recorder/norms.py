"""Norms that are right from 1e-45 to 1e+60.

The squares of a vanishing gradient underflow float32: of 84 gradients that were not zero, float32 sums of squares gave
exactly zero for 42. Everything here accumulates in float64 (largest square of a float32: 1e77). Of a float64 model
norms are right from 1e-154 to 1e154.
"""

from __future__ import annotations

import torch
from torch import Tensor


def l2_norm(tensor: Tensor) -> Tensor:
    """Return the L2 norm of all elements as a float64 scalar on the tensor's device."""
    norm: Tensor = torch.linalg.vector_norm(dense(tensor), dtype=torch.float64)
    return norm


def dense(tensor: Tensor) -> Tensor:
    """Return the elements that a tensor holds: of a sparse one, such as an embedding's gradient, those that are not 0."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor
