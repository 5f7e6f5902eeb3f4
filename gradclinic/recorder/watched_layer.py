"""A layer whose output is watched, and how its units lie in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradclinic.recorder.activations import flat_parts
from gradclinic.recorder.units import LayerUnits, UnitDimensions, Units, blocks_of


class WatchedLayer:
    """A layer at its `place` among all watched ones.

    After `fit`, of the output that was given: its `shape`; whether there is anything in it (`counts`); the `blocks` (outer,
    units, inner) in which its units lie; the `samples` in it; and `units`, if the layer has any that can be dead.
    """

    __slots__ = (
        "_dimensions", "all_units", "blocks", "counts", "flat", "module", "name", "place", "samples", "saturates", "shape",
        "shows_off", "units",
    )  # fmt: skip

    def __init__(self, place: int, name: str, module: nn.Module, dimensions: UnitDimensions) -> None:
        self.place = place
        self.name = name
        self.module = module
        self.flat = flat_parts(module)
        self.saturates = self.flat.bounds is not None
        self.shows_off = self.flat.off is not None and not self.flat.of_input
        self.all_units = LayerUnits() if self.flat.off is not None else None
        self.shape: torch.Size | None = None
        self.counts = False
        self.blocks = (0, 0, 0)
        self.samples = 0
        self.units: Units | None = None
        self._dimensions = dimensions

    def fit(self, output: Tensor) -> None:
        """Find out how units lie in an output of another shape than the last one's."""
        shape = output.shape
        self.shape = shape
        self.counts = output.numel() > 0
        self.blocks = blocks_of(shape, self._dimensions.of(self.module, shape))
        self.samples = shape[0] if len(shape) > 1 else 1
        self.units = self.all_units.group(self.blocks[1], output.device) if self.all_units is not None else None
