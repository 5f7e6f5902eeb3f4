"""Made-up signals that compress like recorded ones: a smooth walk in log space, with noise from step to step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gradclinic.history import CHUNK_STEPS, History, SignalTable

NOISE = 0.15
"""Standard deviation of a value around the walk, relative to it."""
WALK = 0.02
"""Standard deviation of one step of the walk, in units of the natural logarithm."""


def walk_chunks(signals: tuple[str, ...], layers: int, steps: int, seed: int = 0) -> Iterator[History]:
    """Yield a history chunk after chunk: float32 numbers, as recorded ones are, in float64 arrays.

    Every signal of a chunk is a view of one array, so that making them costs little beside storing them.
    """
    generator = np.random.default_rng(seed)
    subjects = tuple(f"layers.{place}" for place in range(layers))
    levels = generator.normal(-7.0, 3.0, (len(signals), layers))
    for start in range(0, steps, CHUNK_STEPS):
        count = min(CHUNK_STEPS, steps - start)
        numbers = np.arange(start, start + count, dtype=np.int64)
        tables = {}
        for place, signal in enumerate(signals):
            values, levels[place] = _next_values(generator, levels[place], count)
            tables[signal] = SignalTable(numbers, subjects, values)
        yield History(tables)


def _next_values(
    generator: np.random.Generator, level: npt.NDArray[np.float64], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the values (count, layers) after a level (layers,) of the walk, and the level that they end at."""
    moves = generator.standard_normal((count, len(level)), dtype=np.float32)
    walk = level + np.cumsum(WALK * moves, axis=0, dtype=np.float64)
    noise = generator.standard_normal((count, len(level)), dtype=np.float32)
    values = np.exp(walk.astype(np.float32)) * (1 + NOISE * noise)
    return values.astype(np.float64), walk[-1]
