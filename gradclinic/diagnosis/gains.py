r"""Backward gains: how much of the gradient each layer passes on, and where it is lost.

With :math:`g_i` the norm of the loss's gradient with respect to the output of layer i, the gain of layer i is
:math:`g_{i-1} / g_i`, and the product of all gains is what arrives of the gradient at the first layer. All in decades
(log10), because gains multiply: in wide random networks the logarithm falls in a straight line over depth (Schoenholz
et al. 2017, arXiv 1611.01232).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gradclinic.diagnosis.weighing import spans, weighted_median
from gradclinic.history import History, LayerFacts

FloatArray = npt.NDArray[np.float64]

FLOOR = -45.5
"""Decades at which a gradient counts as zero: below the smallest float32, 1.4e-45."""

FIRST_STEPS = 10
"""The recorder's dense start; the state that initialization and architecture alone bring about."""


@dataclass(frozen=True)
class Gains:
    """Output gradients along the trunk, from the first trained layer to the network's output.

    Shapes: steps (n,), decades (n, len(layers)): log10 of the output gradient's norm, at least `FLOOR`, NaN where the
    gradient was not finite.
    """

    layers: tuple[LayerFacts, ...]
    steps: npt.NDArray[np.int64]
    decades: FloatArray

    @cached_property
    def total(self) -> FloatArray:
        """Return the decades (n,) between the output and the first layer: below 0 the gradient shrinks on its way."""
        return self.decades[:, 0] - self.decades[:, -1]

    @cached_property
    def spans(self) -> FloatArray:
        """Return how many steps each record (n,) stands for."""
        return spans(self.steps)

    def share_of_steps(self, holds: npt.NDArray[np.bool_]) -> float:
        """Return the share of the training's steps in which something holds (n,): each record speaks for those up to the next."""
        return float(self.spans[holds].sum() / self.spans.sum())

    def typical(self, values: FloatArray, rows: npt.NDArray[np.bool_] | slice = slice(None)) -> FloatArray:
        """Return the median of values (n, ...) over the rows, weighed by the steps that they stand for."""
        return weighted_median(values[rows], self.spans[rows])

    @cached_property
    def of_layers(self) -> FloatArray:
        """Return the gain (n, len(layers) - 1) of each layer but the first, in decades."""
        gains: FloatArray = self.decades[:, :-1] - self.decades[:, 1:]
        return gains


def backward_gains(history: History) -> Gains | None:
    """Return the gains along the trunk; None where fewer than two layers of it were recorded."""
    if "activation_grad_norm" not in history:
        return None
    table = history["activation_grad_norm"]
    recorded = [layer for layer in history.facts.layers if layer.on_trunk and layer.name in table.subjects]
    trained = set(history["grad_norm"].subjects) if "grad_norm" in history else None
    first = next((place for place, layer in enumerate(recorded) if _learns(layer, trained)), None)
    # Nothing before the first trained layer gets a gradient: none is asked for there.
    layers = tuple(recorded[first:]) if first is not None else ()
    if len(layers) < 2 or not len(table.steps):
        return None
    columns = [table.subjects.index(layer.name) for layer in layers]
    norms = table.values[:, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.where(np.isfinite(norms), np.maximum(np.log10(norms), FLOOR), np.nan)
    return Gains(layers, table.steps, decades)


def _learns(layer: LayerFacts, trained: set[str] | None) -> bool:
    return any(trained is None or parameter in trained for parameter in layer.parameters)
