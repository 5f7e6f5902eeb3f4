"""One compiled pass over a layer's output or its gradient (numba), as `outputs_compiled` compiles it.

Called once an output, from a hook, where every microsecond counts: arguments are addresses and numbers, which numba
takes in a tenth of the time that it takes an array in. Everything is summed in float64, and NaN and infinity mean what
they always do. Each function comes for float32 and for float64.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 - numba works the types out, and inlines these functions
# mypy: ignore-errors
# Of the functions that numba compiles mypy sees neither the arguments' types nor what numba's own calls give.

from __future__ import annotations

import math

import numba
import numpy as np
from numba import njit

from gradclinic.recorder.kernels.addresses import ANY_ORDER, pointer, sum_squares

BLOCK = 4096
"""Elements that are read from the nearest cache for each of the statistics: 16 or 32 KiB, or one block of a sample."""


@njit
def _numbers(address, count):
    return numba.carray(pointer(address, numba.float64), (count,), numba.float64)


@njit(fastmath=ANY_ORDER)
def _sums(x, shift):
    """Sum the distances from `shift`, and their squares."""
    first = 0.0
    second = 0.0
    for i in range(len(x)):
        distance = np.float64(x[i]) - shift
        first += distance
        second += distance * distance
    return first, second


@njit
def _count_outside(x, low, high):
    """Count the elements at or below `low`, and at or above `high`."""
    count = 0
    for i in range(len(x)):
        count += (x[i] <= low) | (x[i] >= high)
    return count


@njit
def _mark(x, units, inner, low, high, on):
    """Mark in `on` (units,) the units that have an element outside [low, high], NaN included, in x (outer, units, inner)."""
    if inner == 1:
        for start in range(0, len(x), units):
            sample = x[start : start + units]
            for unit in range(units):
                # A choice, which is vectorised; setting it under an `if` is not.
                on[unit] = on[unit] if (sample[unit] >= low) & (sample[unit] <= high) else np.uint8(1)
        return
    for block in range(len(x) // inner):
        part = x[block * inner : (block + 1) * inner]
        is_on = False
        for i in range(inner):
            is_on |= not ((part[i] >= low) & (part[i] <= high))
        on[block % units] |= np.uint8(is_on)


@njit
def _add(row, count, mean, squares):
    """Join moments to those in a row (count, mean, sum of squared distances from it). Chan, Golub and LeVeque 1979."""
    if row[0] == 0:
        row[1] = mean
        row[2] = squares
    else:
        distance = mean - row[1]
        row[1] += distance * (count / (row[0] + count))
        row[2] += squares + distance * distance * (row[0] * count / (row[0] + count))
    row[0] += count


@njit
def _observe(x, units, inner, limits, saturates, on, row):
    n = len(x)
    low, high = x.dtype.type(limits[0]), x.dtype.type(limits[1])
    lower, upper = x.dtype.type(limits[2]), x.dtype.type(limits[3])
    shift = np.float64(x[0])
    if not math.isfinite(shift):
        shift = 0.0
    first = 0.0
    second = 0.0
    saturated = 0
    whole = units * inner
    length = whole * max(BLOCK // whole, 1)
    for start in range(0, n, length):
        block = x[start : min(start + length, n)]
        sums = _sums(block, shift)
        first += sums[0]
        second += sums[1]
        if saturates:
            saturated += _count_outside(block, lower, upper)
        if len(on):
            _mark(block, units, inner, low, high, on)
    distance = first / n
    _add(row, n, shift + distance, max(second - first * distance, 0.0))
    row[3] += saturated


@njit
def _observe_at(x, units, inner, limits, saturates, on, row):
    marks = numba.carray(pointer(on, numba.uint8), (units if on else 0,), numba.uint8)
    _observe(x, units, inner, _numbers(limits, 4), saturates, marks, _numbers(row, 4))


@njit
def _mark_at(x, units, inner, limits, on):
    low, high = x.dtype.type(_numbers(limits, 2)[0]), x.dtype.type(_numbers(limits, 2)[1])
    _mark(x, units, inner, low, high, numba.carray(pointer(on, numba.uint8), (units,), numba.uint8))


def observe_float32(data, outer, units, inner, limits, saturates, on, row):
    """Look once at an output (outer, units, inner), which must not be empty.

    Joins its moments to the `row` (count, mean, sum of squared distances, saturated) of float64; with `saturates` adds
    what is at or beyond the last two of the four `limits`; and if there is an `on` (units,) of uint8, marks in it the
    units that have an element which is not from the first to the second of them.
    """
    x = numba.carray(pointer(data, numba.float32), (outer * units * inner,), numba.float32)
    _observe_at(x, units, inner, limits, saturates, on, row)


def observe_float64(data, outer, units, inner, limits, saturates, on, row):
    """Do as `observe_float32`."""
    x = numba.carray(pointer(data, numba.float64), (outer * units * inner,), numba.float64)
    _observe_at(x, units, inner, limits, saturates, on, row)


def mark_float32(data, outer, units, inner, limits, on):
    """Only mark the units that are on, as `observe_float32` does."""
    x = numba.carray(pointer(data, numba.float32), (outer * units * inner,), numba.float32)
    _mark_at(x, units, inner, limits, on)


def mark_float64(data, outer, units, inner, limits, on):
    """Do as `mark_float32`."""
    x = numba.carray(pointer(data, numba.float64), (outer * units * inner,), numba.float64)
    _mark_at(x, units, inner, limits, on)


def squares_float32(data, count):
    """Return the sum of squares of `count` elements."""
    return sum_squares(numba.carray(pointer(data, numba.float32), (count,), numba.float32))


def squares_float64(data, count):
    """Do as `squares_float32`."""
    return sum_squares(numba.carray(pointer(data, numba.float64), (count,), numba.float64))


def close_units(on, off_for, units, samples, limit):
    """End a step of `samples` for `on` (units,) uint8 and `off_for` (units,) int64; return how many reach the `limit`."""
    marks = numba.carray(pointer(on, numba.uint8), (units,), numba.uint8)
    lasts = numba.carray(pointer(off_for, numba.int64), (units,), numba.int64)
    count = 0
    for unit in range(units):
        lasts[unit] = 0 if marks[unit] else lasts[unit] + samples
        marks[unit] = 0
        count += lasts[unit] >= limit
    return count
