"""The number of threads a training computes with. It is part of a history: sums in another order round otherwise."""

from __future__ import annotations

import os

import torch

VARIABLE = "GRADCLINIC_TORCH_THREADS"


def set_threads() -> None:
    """Let torch use `GRADCLINIC_TORCH_THREADS` threads in this process; 1 by default."""
    torch.set_num_threads(max(1, int(os.environ.get(VARIABLE, "1"))))
