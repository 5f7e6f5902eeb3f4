"""What layers take that go through a sequence step by step, or that let its steps see each other, by formula.

PyTorch's `meta` device would unroll the steps: an LSTM over 784 of them took 4 seconds. What a formula says does not
depend on their number, and tests hold it to what PyTorch gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gradclinic.contract.sequence import MultiheadAttention, Recurrent, TransformerEncoderLayer
from gradclinic.model.sample import Shape

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

CALLS = {"RNN": 1, "GRU": 3, "LSTM": 1}
"""Operators called a step, as the time they take on a CPU tells; an LSTM is one operator there."""


@dataclass(frozen=True)
class Steps:
    """The shape that comes out, and for one sample the FLOPs forward and the numbers held for the backward pass.

    `calls` is how many operators PyTorch calls one after the other for it, which costs time whatever they compute.
    """

    output: Shape
    flops: int
    held: int
    calls: int


def _recurrent(layer: Recurrent, shape: Shape) -> Steps:
    """Count a recurrent layer over (T, F): 2 g H (F + P) FLOPs a step, layer and direction, and 2 H P for a projection.

    g is the number of gates (RNN 1, GRU 3, LSTM 4), H `hidden_size`, P the size of what comes out (H, or `proj_size`);
    F is the size of what comes in: the features, or the outputs of the layer below in all directions. Elementwise work
    is left out. Held are the gates, the state and the output of each step.
    """
    steps, features = shape
    hidden, gates = layer.hidden_size, GATES[layer.type]
    projected = getattr(layer, "proj_size", 0)
    out, directions = projected or hidden, 2 if layer.bidirectional else 1
    incoming = [features] + [directions * out] * (layer.num_layers - 1)
    products = sum(gates * hidden * (size + out) + hidden * projected for size in incoming)
    runs = steps * directions * layer.num_layers
    output = (directions * out,) if layer.output == "last" else (steps, directions * out)
    return Steps(
        output, 2 * steps * directions * products, runs * (gates * hidden + hidden + out), CALLS[layer.type] * runs
    )


def _attention(layer: MultiheadAttention, shape: Shape) -> Steps:
    """Count self-attention over (T, E): 8 T E^2 FLOPs for the four projections, 4 T T' E for scores and weighted sums.

    T' is T and the places that are added to keys and values. Held are the projections and, with dropout, two matrices of
    T x T' a head; without it, PyTorch's fused attention computes them again.
    """
    steps, size = shape
    seen = steps + layer.add_bias_kv + layer.add_zero_attn
    held = 5 * steps * size + (2 * layer.num_heads * steps * seen if layer.dropout > 0 else 0)
    return Steps(shape, 8 * steps * size**2 + 4 * steps * seen * size, held, 8)


def _transformer(layer: TransformerEncoderLayer, shape: Shape) -> Steps:
    """Count self-attention over (T, E) as above, and 4 T E D FLOPs for a feed-forward network of size D."""
    steps, size = shape
    flops = 8 * steps * size**2 + 4 * steps**2 * size + 4 * steps * size * layer.dim_feedforward
    held = (
        9 * steps * size + 2 * steps * layer.dim_feedforward + (2 * layer.nhead * steps**2 if layer.dropout > 0 else 0)
    )
    return Steps(shape, flops, held, 20)


STEPS: Mapping[str, Callable[[Any, Shape], Steps]] = MappingProxyType(
    {
        "RNN": _recurrent,
        "LSTM": _recurrent,
        "GRU": _recurrent,
        "MultiheadAttention": _attention,
        "TransformerEncoderLayer": _transformer,
    }
)
"""The layers that are counted by formula. Their length is limited (`max_sequence`)."""
