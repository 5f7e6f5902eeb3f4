"""What all compiled passes share (numba): reading numbers from an address on, and summing their squares."""

# Compiled by numba for types of its own, which neither of these knows.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

ANY_ORDER = {"reassoc", "nsz", "contract"}
"""Sums may be taken in any order, which lets them be vectorised. NaN and infinity mean what they always do."""


@intrinsic
def pointer(_typing: Any, address: Any, element: Any) -> Any:
    """Make a pointer to elements of a type out of an address."""
    signature = types.CPointer(element.dtype)(address, element)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, generate


@njit(fastmath=ANY_ORDER)
def sum_squares(x):
    """Sum the squares of all elements in float64."""
    total = 0.0
    for i in range(len(x)):
        value = np.float64(x[i])
        total += value * value
    return total
