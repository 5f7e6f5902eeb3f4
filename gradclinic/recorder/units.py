"""Which dimension of an output holds a layer's units, and which units have been off on many samples in a row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DEAD_SAMPLES = 512
"""Samples in a row on which a unit has to be off to be called dead.

Half of the outputs of a healthy ReLU layer are 0 in any batch. A unit that is on for one sample in a hundred is off on
512 in a row with a probability of 0.6 %; and batches of 64 make 512 samples within the dense first steps.
"""

MAX_WIDTHS = 4
"""Numbers of units that one module is followed at. One that had more has no units, but sizes that vary with the input."""

MAX_SHAPES = 1000
"""Shapes of which the units' dimension is remembered; sequences come in every length."""

Shape = tuple[int, ...]

CHANNELS_SECOND = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LocalResponseNorm,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
)  # fmt: skip

FEATURES_LAST = (
    nn.Linear, nn.Bilinear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell,
    nn.LSTMCell, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
)  # fmt: skip


class UnitDimensions:
    """Finds the dimension of an output that counts units.

    Dimension 0 counts samples. Units are the channels, dimension 1, of `CHANNELS_SECOND`, and the features, the last
    dimension, of `FEATURES_LAST`. Any other layer, a ReLU say, has them where the layer of one of these sorts had them
    that last gave an output of the same shape; if none did, in dimension 1 of four or more dimensions, else in the last.
    """

    def __init__(self) -> None:
        self._of_shape: dict[Shape, int] = {}

    def of(self, module: nn.Module, shape: Shape) -> int:
        """Return the units' dimension of an output of `shape` that `module` gave after those asked about before."""
        last = max(len(shape) - 1, 0)
        if isinstance(module, CHANNELS_SECOND):
            return self._remember(shape, min(1, last))
        if isinstance(module, FEATURES_LAST):
            return self._remember(shape, last)
        return self._of_shape.get(shape, 1 if last >= 3 else last)

    def _remember(self, shape: Shape, dim: int) -> int:
        if len(self._of_shape) >= MAX_SHAPES:
            self._of_shape.clear()
        self._of_shape[shape] = dim
        return dim


class Units:
    """The units of one number that a module has: which were on in this step, and for how long each has been off.

    A module that is called several times in a step has each unit once: it is off where it was off in all calls.

    Shapes: on (units,) uint8, 0 or 1; off_for (units,) int64, the samples since the unit was on. 9 bytes a unit. `on_at` is
    the address of `on`, 0 where it is not in the CPU's memory.
    """

    def __init__(self, units: int, device: torch.device) -> None:
        self.on = torch.zeros(units, dtype=torch.uint8, device=device)
        self.off_for = torch.zeros(units, dtype=torch.int64, device=device)
        self.on_at = self.on.data_ptr() if self.on.is_cpu else 0
        self.samples_now = 0
        self.samples = 0

    @property
    def judged(self) -> bool:
        """Whether enough samples have been looked at to call a unit dead."""
        return self.samples >= DEAD_SAMPLES

    def close_step(self) -> Tensor:
        """Take the step's samples into account, and count the dead units: an int64 scalar on the device."""
        self.off_for.add_(self.samples_now).mul_(self.on == 0)
        self.on.zero_()
        self.count_samples()
        return (self.off_for >= DEAD_SAMPLES).sum()

    def count_samples(self) -> None:
        """Take the number of the step's samples into account."""
        self.samples += self.samples_now
        self.samples_now = 0

    def forget_step(self) -> None:
        """Take back what was marked in a step that did not come to its end."""
        if self.samples_now:
            self.samples_now = 0
            self.on.zero_()


class LayerUnits:
    """The units of a layer, in groups where its module gives outputs with different numbers of them.

    A ReLU that a network uses in several places is such a module. At most `MAX_WIDTHS` groups are kept.
    """

    def __init__(self) -> None:
        self.groups: dict[int, Units] = {}
        self._vary = False

    def group(self, units: int, device: torch.device) -> Units | None:
        """Return the group of that number of units; None where it varies."""
        if self._vary or units == 0:
            return None
        if units not in self.groups:
            if len(self.groups) == MAX_WIDTHS:
                self._vary = True
                self.groups.clear()
                return None
            self.groups[units] = Units(units, device)
        return self.groups[units]

    def forget_step(self) -> None:
        """Take back what was marked in a step that did not come to its end."""
        for units in self.groups.values():
            units.forget_step()


def blocks_of(shape: Shape, dim: int) -> tuple[int, int, int]:
    """Return the shape (outer, units, inner) that shows where units lie, those in dimension `dim` of `shape`."""
    return math.prod(shape[:dim]), shape[dim] if shape else 1, math.prod(shape[dim + 1 :])
