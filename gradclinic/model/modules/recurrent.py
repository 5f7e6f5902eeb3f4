"""PyTorch's recurrent layers with one tensor as output, so that they can stand among others.

They are subclasses, so that parameters keep PyTorch's names (`weight_ih_l0`); the batch is always first, and the state
that is left over is dropped.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Output = Literal["last", "sequence"]


class RNN(nn.RNN):
    """Elman's network: (N, T, F) to (N, T, H), or to (N, H) of the last step."""

    def __init__(self, *, output: Output, **keywords: Any) -> None:
        super().__init__(**keywords, batch_first=True)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the state is always zeros, and dropped
        """Pass the sequences x (N, T, F) through the steps."""
        return _asked_for(super().forward(x)[0], self.output, self.bidirectional)


class LSTM(nn.LSTM):
    """Long short-term memory: (N, T, F) to (N, T, H), or to (N, H) of the last step."""

    def __init__(self, *, output: Output, **keywords: Any) -> None:
        super().__init__(**keywords, batch_first=True)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the state is always zeros, and dropped
        """Pass the sequences x (N, T, F) through the steps."""
        return _asked_for(super().forward(x)[0], self.output, self.bidirectional)


class GRU(nn.GRU):
    """Gated recurrent unit: (N, T, F) to (N, T, H), or to (N, H) of the last step."""

    def __init__(self, *, output: Output, **keywords: Any) -> None:
        super().__init__(**keywords, batch_first=True)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the state is always zeros, and dropped
        """Pass the sequences x (N, T, F) through the steps."""
        return _asked_for(super().forward(x)[0], self.output, self.bidirectional)


def _asked_for(y: Tensor, output: Output, bidirectional: bool) -> Tensor:
    """Return all of y (N, T, H), or the last step's (N, H).

    The last step of the direction that reads backwards is at the first place. What it gives at the last place has seen
    one element only, and its recurrent weights would get no gradient from there.
    """
    if output == "sequence":
        return y
    if not bidirectional:
        return y[:, -1]
    half = y.shape[-1] // 2
    return torch.cat([y[:, -1, :half], y[:, 0, half:]], dim=-1)
