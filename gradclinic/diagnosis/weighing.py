"""Records weighed by the steps that they stand for: those of the dense first steps by one, later ones by all up to the next.

Without weights, the ten first steps of a training of 400 would be a fifth of what is recorded every ten steps; and rows that sum
up many steps would count no more than single ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spans(steps: npt.NDArray[np.int64], last: int | None = None) -> Floats:
    """Return for each record (n,) how many steps it stands for: those up to the next record, or to the `last` step."""
    end = int(steps[-1]) if last is None else max(last, int(steps[-1]))
    return np.diff(steps, append=end + 1).astype(np.float64)


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Return the median over the first axis of values (n, ...), weighed by weights (n,). NaN in values is left out.

    The mean of the two numbers in the middle where the weights are cut in half exactly, as of an even number of equal ones;
    NaN where there is no number.
    """
    flat = values.reshape(len(values), -1)
    known = ~np.isnan(flat)
    order = np.argsort(flat, axis=0)  # NaN comes last
    sums = np.cumsum(np.take_along_axis(np.where(known, weights[:, None], 0.0), order, axis=0), axis=0)
    ordered = np.take_along_axis(flat, order, axis=0)
    half = sums[-1] / 2.0 if len(sums) else np.zeros(flat.shape[1])
    # Halves of sums of whole numbers are exact: no tolerance is needed to see that a cut is even.
    low = np.minimum((sums < half).sum(axis=0), max(len(flat) - 1, 0))
    high = np.minimum((sums <= half).sum(axis=0), np.maximum(known.sum(axis=0) - 1, 0))
    columns = np.arange(flat.shape[1])
    if not len(flat):
        return np.full(values.shape[1:], np.nan)
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        median = np.where(low == high, ordered[low, columns], (ordered[low, columns] + ordered[high, columns]) / 2.0)
    return np.asarray(median.reshape(values.shape[1:]), np.float64)
