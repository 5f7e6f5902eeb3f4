"""How sure a cause is, by one principle: the probability that the same cause would be named again.

Three things could change the answer, and each kind of cause is open to one of them:

- *Known*: what stands in the model, the loss or the data (a layer's type, the classes' frequencies, copies among the first
  weights) was not estimated from anything. Nothing could change it: `KNOWN`.
- *Judged*: what lies beyond a threshold would be judged otherwise by another choice of that threshold. Published choices for
  one thing differ by a factor of about three from ours (updates that are too long: 0.1 and 0.3; jumps of the loss: 5 and 10; first
  loss: 2 and 3), which is taken as the deviation of the logarithm of a right one. Then `beyond` is the
  probability that a number lies beyond it: one half at the threshold, 0.84 at three times it, 0.98 at ten times.
- *Sampled*: what is worked out from records would come out otherwise from other records. `wins_again` draws them anew by the
  bootstrap (Efron 1979), in blocks of neighbours, because those are alike (Künsch 1989).

An estimate is never a certainty: `beyond` and `wins_again` stay below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

KNOWN = 1.0
"""What was not estimated."""

SPREAD_DECADES = math.log10(3.0)
"""Deviation of the logarithm of thresholds for the same thing, as others choose them."""

MOST = 0.99
"""The most that an estimate from thresholds says: beyond it, the shape of their distribution is a guess."""

DRAWS = 200
"""Bootstrap samples: the share of wins is right to 0.035."""


def beyond(value: float, threshold: float) -> float:
    """Return how sure it is that a number above 0 lies above a threshold, whichever of the usual ones is right.

    Of a number that lies below its threshold give the two the other way round.
    """
    if math.isnan(value) or value <= 0:
        return 0.0
    decades = math.inf if math.isinf(value) or threshold <= 0 else math.log10(value) - math.log10(threshold)
    return min(MOST, 0.5 * (1.0 + math.erf(decades / SPREAD_DECADES / math.sqrt(2.0))))


def share_beyond(share: float, threshold: float) -> float:
    """Return the same of a share of 1, by its odds: those of 0.9 are nine times as high as those of one half."""
    return beyond(_odds(share), _odds(threshold))


def wins_again(
    rows: int, draw: Callable[[npt.NDArray[np.intp], np.random.Generator], Any], winner: Any, seed: int = 0
) -> float:
    """Return how often the same cause is named by records that are drawn anew.

    Args:
        rows: Records there are, neighbours next to each other.
        draw: Names the cause from the records at the given places, some of them several times; may draw more by the generator.
        winner: What all records name.
        seed: Of the draws: the same history gives the same confidence.

    Returns:
        The share of wins by Laplace's rule of succession, (wins + 1) / (draws + 2): never 0 or 1.
    """
    generator = np.random.default_rng(seed)
    # Blocks as long as balances what they keep and how many there are (Hall, Horowitz & Jing 1995).
    length = max(1, round(rows ** (1 / 3)))
    blocks = math.ceil(rows / length)
    wins = 0
    for _ in range(DRAWS):
        starts = generator.integers(0, rows - length + 1, blocks)
        places = (starts[:, None] + np.arange(length)).ravel()[:rows]
        wins += draw(places, generator) == winner
    return (wins + 1) / (DRAWS + 2)


def _odds(share: float) -> float:
    return math.inf if share >= 1 else share / (1.0 - share)
