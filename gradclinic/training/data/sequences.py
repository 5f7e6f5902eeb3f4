"""The rows of the tasks of long memory, on which recurrent networks have been compared since 1997."""

from __future__ import annotations

import numpy as np

from gradclinic.contract.generated_data import AddingProblem, CopyMemory
from gradclinic.files import RawData

BLANK, COPY = 0, 9
"""Tokens of the copying task; 1 to 8 are those to be remembered."""


def draw_adding_problem(data: AddingProblem) -> RawData:
    """Draw sequences (rows, length, 2) of values and markers; the target is the sum of the two marked values."""
    random = np.random.default_rng(data.seed)
    values = random.uniform(0.0, 1.0, (data.samples, data.length))
    rows, half = np.arange(data.samples), data.length // 2
    first, second = random.integers(0, half, data.samples), random.integers(half, data.length, data.samples)
    markers = np.zeros_like(values)
    markers[rows, first] = markers[rows, second] = 1.0
    targets = values[rows, first] + values[rows, second]
    return RawData(np.stack([values, markers], axis=2), targets[:, None], is_sequence=True)


def draw_copy_memory(data: CopyMemory) -> RawData:
    """Draw ten tokens, then blanks up to the mark that asks for the copy, then ten blanks; the copy is due in those."""
    random = np.random.default_rng(data.seed)
    remembered = random.integers(1, COPY, (data.samples, data.REMEMBERED))
    inputs = np.full((data.samples, data.length + 2 * data.REMEMBERED), BLANK, np.int64)
    targets = inputs.copy()
    inputs[:, : data.REMEMBERED] = remembered
    inputs[:, -data.REMEMBERED - 1] = COPY
    targets[:, -data.REMEMBERED :] = remembered
    return RawData(inputs, targets, is_sequence=True, integers=True)
