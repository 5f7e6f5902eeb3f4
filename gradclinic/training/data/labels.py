"""What a spec does to the labels of a data set on purpose: leaving samples of classes out, and getting labels wrong.

Each draws from `data.seed` in a stream of its own, so that asking for one changes nothing else that is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradclinic.files import RawData

IMBALANCE_STREAM, NOISE_STREAM = 1, 2


def leave_out(raw: RawData, factor: float, seed: int) -> RawData:
    """Leave samples out until the first class is `factor` times as frequent as the last one.

    In between the frequencies fall by the same ratio from class to class, as in the long-tailed data sets of Cui et
    al. 2019; as many samples stay as that allows. Classes without samples are passed over; each other one keeps one.
    """
    present, have = np.unique(raw.targets, return_counts=True)
    if factor <= 1 or len(present) < 2:
        return raw
    shares = factor ** (-np.arange(len(present)) / (len(present) - 1))
    wanted = np.clip(np.floor(shares * (have / shares).min() + 1e-9).astype(np.int64), 1, have)
    random = np.random.default_rng((seed, IMBALANCE_STREAM))
    kept = [
        random.choice(np.flatnonzero(raw.targets == label), count, replace=False)
        for label, count in zip(present, wanted, strict=True)
    ]
    rows = np.sort(np.concatenate(kept))
    return replace(raw, inputs=raw.inputs[rows], targets=raw.targets[rows])


def get_wrong(raw: RawData, share: float, seed: int) -> RawData:
    """Replace this share of the labels by labels drawn uniformly from all classes, the right one among them."""
    count = round(share * len(raw.targets))
    if count == 0 or raw.classes is None:
        return raw
    random = np.random.default_rng((seed, NOISE_STREAM))
    targets = raw.targets.copy()
    targets[random.choice(len(targets), count, replace=False)] = random.integers(0, raw.classes, count)
    return replace(raw, targets=targets)


def as_vectors(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.float32]:
    """Return labels (rows,) as vectors (rows, classes) of zeros and a one."""
    vectors = np.zeros((len(labels), classes), np.float32)
    vectors[np.arange(len(labels)), labels] = 1.0
    return vectors
