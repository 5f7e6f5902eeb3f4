"""One compiled pass over each tensor (numba). Imported only where the compiled kernel is chosen.

The functions take addresses and lengths, so that one call does all tensors of a model: calling PyTorch once a tensor
costs more than reading it. Everything is summed in float64. Where a sum of squares is not finite, or too small for
its float64 to be right, the tensor is read again, slowly and with scaling (`_carefully`); fast loops need not care.
"""

# Compiled by numba for types of its own, which neither of these knows.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from gradclinic.recorder.kernels.addresses import ANY_ORDER, pointer, sum_squares

BLOCK = 2048
"""Elements that are read from the first-level cache for each of the statistics: 8 or 16 KiB."""

SMALLEST_SQUARES = 1e-280
"""A sum of squares under this may have lost parts to underflow."""


def _reinterpreted(value: Any, kinds: dict[Any, Any]) -> Any:
    """Type and make a function that takes a value's bits for those of the other kind."""
    if value not in kinds:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return kinds[value](value), generate


@intrinsic
def _bits(_typing: Any, value: Any) -> Any:
    """Take the bits of a float for those of a signed integer."""
    return _reinterpreted(value, {types.float32: types.int32, types.float64: types.int64})


@intrinsic
def _number(_typing: Any, value: Any) -> Any:
    """Take the bits of a signed integer for those of a float."""
    return _reinterpreted(value, {types.int32: types.float32, types.int64: types.float64})


@njit(fastmath=ANY_ORDER)
def _moments(x, shift):
    """Sum squares, and distances from `shift` and their squares, from which mean and deviation follow."""
    squares = 0.0
    first = 0.0
    second = 0.0
    for i in range(len(x)):
        value = np.float64(x[i])
        distance = value - shift
        squares += value * value
        first += distance
        second += distance * distance
    return squares, first, second


@njit
def _largest(x):
    """Return the largest size; the bits of numbers without their sign are ordered as the numbers are, NaN above all.

    A maximum of floats is not vectorised, for NaN has no order.
    """
    largest = _bits(abs(x[0]))
    for i in range(len(x)):
        bits = _bits(abs(x[i]))
        largest = bits if bits > largest else largest  # noqa: FURB136 - max() is not vectorised either
    return _number(largest)


@njit
def _zeros(x):
    count = 0
    for i in range(len(x)):
        count += x[i] == 0
    return count


@njit
def _carefully(x, row):
    """Work out a whole row whatever the elements are."""
    n = len(x)
    nans = 0
    above = 0
    below = 0
    zeros = 0
    scale = 0.0
    for i in range(n):
        value = np.float64(x[i])
        if math.isnan(value):
            nans += 1
        elif math.isinf(value):
            if value > 0:
                above += 1
            else:
                below += 1
        else:
            scale = max(scale, abs(value))
            zeros += value == 0
    row[4] = zeros / n if n else 0.0
    row[5] = nans + above + below
    if row[5] > 0:
        row[0] = row[1] = math.nan if nans else math.inf
        row[2] = math.nan if nans or (above and below) else (math.inf if above else -math.inf)
        row[3] = math.nan
        return
    if scale == 0:
        row[:4] = 0.0
        return
    # In halves, so that the difference of the two largest numbers there are is one, too.
    shift = np.float64(x[0]) / scale / 2
    squares = 0.0
    first = 0.0
    second = 0.0
    for i in range(n):
        value = np.float64(x[i]) / scale / 2
        distance = value - shift
        squares += value * value
        first += distance
        second += distance * distance
    row[0] = 2 * math.sqrt(squares) * scale
    row[1] = scale
    row[2] = 2 * (shift + first / n) * scale
    row[3] = 2 * math.sqrt(max(second - first * first / n, 0.0) / n) * scale


@njit
def _measure_one(x, smallest, whole, row):
    n = len(x)
    squares = 0.0
    if not whole:
        squares = sum_squares(x)
    elif n > 0:
        shift = np.float64(x[0])
        first = 0.0
        second = 0.0
        largest = abs(x[0])
        zeros = 0
        for start in range(0, n, BLOCK):
            block = x[start : min(start + BLOCK, n)]
            moments = _moments(block, shift)
            squares += moments[0]
            first += moments[1]
            second += moments[2]
            largest = max(largest, _largest(block))
            zeros += _zeros(block)
        row[1] = largest
        row[2] = shift + first / n
        row[3] = math.sqrt(max(second - first * first / n, 0.0) / n)
        row[4] = zeros / n
    row[0] = math.sqrt(squares)
    row[5] = 0.0
    # Written so that NaN is read carefully, too. An empty tensor has 0 for everything.
    if n == 0 or not (smallest <= squares < math.inf):
        _carefully(x, row)


def measure(pointers, sizes, wide, whole, rows):
    """Fill `rows` (tensors, 6) with norm, max, mean, std, zero fraction and the count of what is not finite.

    Without `whole`, columns 1 to 4 may be left as they are. `wide` says of each tensor whether it is of float64.
    """
    for i in range(len(pointers)):
        if wide[i]:
            x = numba.carray(pointer(pointers[i], numba.float64), (sizes[i],), numba.float64)
            _measure_one(x, SMALLEST_SQUARES, whole, rows[i])
        else:
            y = numba.carray(pointer(pointers[i], numba.float32), (sizes[i],), numba.float32)
            _measure_one(y, 0.0, whole, rows[i])


@njit(fastmath=ANY_ORDER)
def _copy(x, to):
    """Copy x, and return its sum of squares."""
    total = 0.0
    for i in range(len(x)):
        to[i] = x[i]
        value = np.float64(x[i])
        total += value * value
    return total


@njit(fastmath=ANY_ORDER)
def _change(x, before):
    """Return the sum of squares of x - before."""
    total = 0.0
    for i in range(len(x)):
        distance = np.float64(x[i]) - np.float64(before[i])
        total += distance * distance
    return total


@njit
def _norm(x, before, copies, squares, smallest):
    """Return the norm of x, or of x - before, whose sum of squares is known unless it left float64."""
    if smallest <= squares < math.inf:
        return math.sqrt(squares)
    scale = 0.0
    for i in range(len(x)):
        value = np.float64(x[i]) if copies else np.float64(x[i]) - np.float64(before[i])
        if math.isnan(value):
            return math.nan
        scale = max(scale, abs(value))
    if scale == 0 or math.isinf(scale):
        return scale
    total = 0.0
    for i in range(len(x)):
        value = (np.float64(x[i]) if copies else np.float64(x[i]) - np.float64(before[i])) / scale
        total += value * value
    return math.sqrt(total) * scale


def compare(pointers, buffers, sizes, wide, copies, norms):
    """Fill `norms` (tensors,): with `copies`, of each tensor, while it is copied to its buffer; else of their difference."""
    for i in range(len(pointers)):
        if wide[i]:
            x = numba.carray(pointer(pointers[i], numba.float64), (sizes[i],), numba.float64)
            before = numba.carray(pointer(buffers[i], numba.float64), (sizes[i],), numba.float64)
            squares = _copy(x, before) if copies else _change(x, before)
            norms[i] = _norm(x, before, copies, squares, SMALLEST_SQUARES)
        else:
            y = numba.carray(pointer(pointers[i], numba.float32), (sizes[i],), numba.float32)
            after = numba.carray(pointer(buffers[i], numba.float32), (sizes[i],), numba.float32)
            squares = _copy(y, after) if copies else _change(y, after)
            norms[i] = _norm(y, after, copies, squares, 0.0)
