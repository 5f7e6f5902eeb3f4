"""What has to hold before an operator is called, where PyTorch's own checks on `meta` are less than its kernels rely on.

A kernel that reads its weights as a block of the size that they should have, or loops over a window as large as somebody
wrote, is no place for numbers from outside. What is refused here no exported model has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor

from gradclinic.graph import GETITEM
from gradclinic.model.graph.signature import Unsuitable, check_signature
from gradclinic.model.steps import GATES

MAX_WINDOW = 4096
"""Kernel, stride, padding and dilation of a convolution or pooling: kernels loop over windows."""

MAX_PIECES = 10_000
"""That a tensor may be cut into: each becomes an object of its own."""

PIECES = frozenset({"unbind", "chunk", "split", "split_with_sizes"})

MAX_SCALE = 1024.0
"""Of an upsampling, up and down: places are worked out in float32."""

Number = TypeVar("Number", int, float)

RECURRENT_CELLS = MappingProxyType(
    {"aten.lstm.input": "LSTM", "aten.gru.input": "GRU", "aten.rnn_tanh.input": "RNN", "aten.rnn_relu.input": "RNN"}
)


def check_call(op: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse a call that PyTorch would not refuse, and should.

    Raises:
        Unsuitable: Saying why.
    """
    _, name, *_ = op.split(".")
    if not op.startswith("aten."):
        _check_numbers(op, args)
        return
    check_signature(function, args, kwargs)
    if op in RECURRENT_CELLS:
        check_recurrent(op, *args, **kwargs)
    elif name == "scaled_dot_product_attention":
        _check_attention(*args, **kwargs)
    elif "conv" in name or "pool" in name:
        windows = list(_numbers(int, [*args, *kwargs.values()]))
        if any(abs(number) > MAX_WINDOW for number in windows) and "adaptive" not in name:
            raise Unsuitable(f"a window of {max(windows, key=abs):,}, more than {MAX_WINDOW:,}")
    elif name in PIECES:
        _check_pieces(name, *args[:2])
    elif name.startswith("upsample"):
        for scale in _numbers(float, [*args, *kwargs.values()]):
            if not 1 / MAX_SCALE <= scale <= MAX_SCALE:
                raise Unsuitable(f"a scale of {scale:g}, where 1/{MAX_SCALE:g} to {MAX_SCALE:g} is expected")


def _check_numbers(op: str, args: tuple[Any, ...]) -> None:
    """Refuse anything but numbers: Python would repeat a list as often as it is told."""
    if op == GETITEM:
        _expect(
            len(args) == 2 and isinstance(args[0], tuple | list) and isinstance(args[1], int), "one of several outputs"
        )
    else:
        _expect(all(type(value) in (int, float) for value in args), "numbers")


def _check_pieces(name: str, x: Tensor, size: Any = 1) -> None:
    """Refuse to cut a tensor into more pieces than anybody needs."""
    longest = max(x.shape, default=0)
    sizes = size if isinstance(size, list) else [size]
    pieces = (
        sizes[0]
        if name == "chunk"
        else len(sizes)
        if len(sizes) > 1
        else longest / (max(1, *sizes) if name != "unbind" else 1)
    )
    _expect(min(pieces, longest) <= MAX_PIECES, f"at most {MAX_PIECES:,} pieces")


def check_recurrent(  # noqa: PLR0917, PLR0913 - PyTorch's own arguments
    op: str,
    x: Any,
    states: Any,
    weights: Any,
    has_biases: Any,
    num_layers: Any,
    dropout: Any,
    train: Any,
    bidirectional: Any,
    batch_first: Any,
    /,
) -> tuple[int, int, int]:
    """Check the shapes of a recurrent operator (N, T, F) or (T, N, F); return the gates, hidden size H and output size P.

    Weights are (g H, F), (g H, P), biases (g H) each, a projection (P, H); a state is (layers x directions, N, P), the
    cell's (.., N, H). PyTorch's operator for the CPU takes them as that without looking.

    Raises:
        Unsuitable: They are not.
    """
    cell, directions = RECURRENT_CELLS[op], 2 if bidirectional else 1
    states = states if cell == "LSTM" else [states]
    _expect(isinstance(x, Tensor) and x.dim() == 3, "an input of three dimensions")
    _expect(all(type(flag) is bool for flag in (has_biases, train, bidirectional, batch_first)), "flags")
    _expect(isinstance(num_layers, int) and 1 <= num_layers <= 64 and 0 <= float(dropout) <= 1, "1 to 64 layers")
    _expect(isinstance(states, list) and len(states) == (2 if cell == "LSTM" else 1), "a state")
    _expect(isinstance(weights, list) and all(isinstance(w, Tensor) for w in [*weights, *states]), "tensors")
    hidden = states[-1].shape[-1] if states[-1].dim() == 3 else 0
    out = states[0].shape[-1] if states[0].dim() == 3 else 0
    gates, rows = GATES[cell], x.shape[0] if batch_first else x.shape[1]
    _expect(hidden > 0 and 0 < out <= hidden and min(x.shape) > 0, "states of three dimensions, and numbers in all")
    for state, size in zip(states, (out, hidden), strict=False):
        _expect(
            tuple(state.shape) == (num_layers * directions, rows, size),
            f"states [{num_layers * directions}, N, {size}]",
        )
    expected: list[tuple[int, ...]] = []
    for layer in range(num_layers):
        features = x.shape[2] if layer == 0 else directions * out
        one = [(gates * hidden, features), (gates * hidden, out)] + [(gates * hidden,)] * (2 * has_biases)
        expected += (one + ([(out, hidden)] if out != hidden else [])) * directions
    given = [tuple(weight.shape) for weight in weights]
    _expect(given == expected, f"weights {expected[:4]}", f"{given[:4]}")
    return gates, hidden, out


def _check_attention(  # noqa: PLR0917, PLR0913 - PyTorch's own arguments
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> None:
    """Check an attention of queries (..., L, E), keys (..., S, E) and values (..., S, V)."""
    _expect(all(isinstance(t, Tensor) and t.is_floating_point() for t in (query, key, value)), "tensors of floats")
    _expect(2 <= query.dim() == key.dim() == value.dim() <= 5, "as many dimensions in all three")
    _expect(query.shape[:-2] == key.shape[:-2] == value.shape[:-2], "the same batch and heads in all three")
    _expect(query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2], "keys that fit queries and values")
    _expect(enable_gqa is False and is_causal in (True, False) and 0 <= float(dropout_p) <= 1, "plain attention")
    _expect(scale is None or 0 < abs(scale) <= 1e6, "a scale that float32 can bear")
    if attn_mask is not None:
        scores = (*query.shape[:-1], key.shape[-2])
        _expect(isinstance(attn_mask, Tensor) and not is_causal and 2 <= attn_mask.dim() <= len(scores), "one mask")
        fits = all(size in (1, full) for size, full in zip(reversed(attn_mask.shape), reversed(scores), strict=False))
        _expect(fits, f"a mask for scores {list(scores)}", f"{list(attn_mask.shape)}")


def _expect(holds: bool, expected: str, given: str = "") -> None:
    if not holds:
        raise Unsuitable(f"other arguments than {expected}" + (f": {given}" if given else ""))


def _numbers(kind: type[Number], values: Sequence[Any]) -> Iterator[Number]:
    """Yield the numbers of just this type, which a flag is not, in lists of lists."""
    for value in values:
        if isinstance(value, list):
            yield from _numbers(kind, value)
        elif type(value) is kind:
            yield value
