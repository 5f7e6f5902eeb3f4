"""One activation module that is called for several layers: it is not on the trunk, and its part hides in the layers around it.

One gradient is recorded of all its calls, so that none of them can be measured. What can be said is what it passes on at most: an
activation that works element by element multiplies each gradient by its slope, and a sigmoid's is nowhere above one quarter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Cause
from gradclinic.diagnosis.confidence import wins_again
from gradclinic.diagnosis.weighing import weighted_median
from gradclinic.history import LayerFacts

STEEPEST = {"Sigmoid": 1 / 4, "Hardsigmoid": 1 / 6}
"""The largest slope of activations of which it is clearly below 1 (torch.nn); of all others nothing follows."""


@dataclass(frozen=True)
class SharedModule:
    """An activation that is called several times between the ends of the trunk."""

    layer: LayerFacts
    calls: int

    @property
    def decades(self) -> float:
        """How many decades of the gradient it takes at least."""
        return -self.calls * math.log10(STEEPEST.get(self.layer.type, 1.0))

    def __str__(self) -> str:
        return f"{self.layer.type} ({self.layer.name}), one module called {self.calls} times"


def shared_module(layers: Sequence[LayerFacts], gaps: int) -> SharedModule | None:
    """Return the only one of some activations that is called several times, at most once in each of the trunk's gaps."""
    shared = [layer for layer in layers if layer.calls > 1]
    return SharedModule(shared[0], min(shared[0].calls, gaps)) if len(shared) == 1 else None


def blame_shared(
    module: SharedModule, totals: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> Cause | None:
    """Blame it for a loss of the gradient of which it takes more than half for certain; None where it does not.

    Args:
        module: The module.
        totals: The gain of the whole trunk in each record, in decades; (records,).
        weights: The steps that each record stands for; (records,).
    """

    def takes_most(records: npt.NDArray[np.intp]) -> bool:
        return module.decades > -float(weighted_median(totals[records], weights[records])) / 2

    everything = np.arange(len(totals))
    lost = -float(weighted_median(totals, weights))
    if lost <= 0 or not takes_most(everything):
        return None
    return Cause(
        what="activation",
        detail=f"{module} passes on at most {STEEPEST[module.layer.type]:.2g} of the gradient each time",
        share=min(1.0, module.decades / lost),
        confidence=wins_again(len(totals), lambda records, _: takes_most(records), winner=True),
    )
