"""What PyTorch raises in the middle of a training, told apart from our own faults and from a machine that is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

RAISED_BY_TORCH = (RuntimeError, ValueError, IndexError, TypeError, AssertionError, ArithmeticError)
"""What PyTorch raises at values that a layer, a loss, an optimizer or a schedule cannot take."""

_NO_MEMORY = ("can't allocate memory", "not enough memory")


class RaisedByTorch(Exception):
    """PyTorch raised, at something that the spec asks of it; the cause is what it raised."""


@contextmanager
def torch_may_raise() -> Iterator[None]:
    """Tell what PyTorch raises inside as RaisedByTorch.

    Raises:
        RaisedByTorch: It did.
        MemoryError: It did, for want of memory: that is the machine's matter and no outcome of the training.
    """
    try:
        yield
    except RAISED_BY_TORCH as error:
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        raise RaisedByTorch(str(error)) from error
