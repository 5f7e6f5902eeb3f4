"""What adds up over a step of each layer's output: as numbers at once, or deferred, as tensors on the device.

`HostTally` takes the compiled passes where they can read a tensor, and torch's operators elsewhere. `DeferredTally` is for
CUDA: it never waits for the device. Both give rows over all layers, NaN where a layer had no output in the step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.recorder.activations import Interval
from gradclinic.recorder.kernels.outputs_torch import moments, saturated_count, units_on
from gradclinic.recorder.units import DEAD_SAMPLES, LayerUnits, Units
from gradclinic.recorder.watched_layer import WatchedLayer

if TYPE_CHECKING:
    from gradclinic.recorder.kernels.outputs_compiled import OutputPasses

FloatArray = npt.NDArray[np.float64]
Row = Tensor | FloatArray

NO_INTERVAL = Interval(math.nan, math.nan)


NONE_COMPILED: Mapping[torch.dtype, Callable[..., Any] | None] = defaultdict(lambda: None)
"""Passes for no type of element."""


class Tally(Protocol):
    """Adds up the outputs of a step. Each method that gives a row gives it of the layers of the places asked for."""

    def observe(self, layer: WatchedLayer, output: Tensor, marks: bool) -> None:
        """Look at an output of floating-point numbers; with `marks` also at which units are on, if the output shows it."""
        ...

    def mark(self, layer: WatchedLayer, values: Tensor) -> None:
        """Look at which units are on in values that are laid out as the output is."""
        ...

    def means(self) -> Row:
        """Return the mean (layers,) of each layer's outputs."""
        ...

    def deviations(self) -> Row:
        """Return the standard deviation (layers,) of each layer's outputs; divided by the count, not by one less."""
        ...

    def saturated(self, places: Sequence[int]) -> Row:
        """Return the share (places,) of outputs that are saturated."""
        ...

    def dead(self, places: Sequence[int]) -> Row | None:
        """Close the step for all units, and return the share (places,) of dead ones; None if none can be judged yet."""
        ...

    def forget(self) -> None:
        """Begin a step."""
        ...


class HostTally:
    """Numbers on the host: 32 bytes a layer."""

    def __init__(self, layers: Sequence[WatchedLayer], passes: OutputPasses | None) -> None:
        self._layers = layers
        self._units = _with_units(layers)
        self._passes = passes
        self._observe = passes.observe if passes is not None else NONE_COMPILED
        self._mark = passes.mark if passes is not None else NONE_COMPILED
        self._rows = np.zeros((len(layers), 4))  # count, mean, sum of squared distances from it, saturated
        self._limits = np.array([_limits(layer) for layer in layers], np.float64).reshape(-1, 4)
        self._row_at = [self._rows.ctypes.data + place * self._rows.strides[0] for place in range(len(layers))]
        self._limits_at = [self._limits.ctypes.data + place * self._limits.strides[0] for place in range(len(layers))]

    def observe(self, layer: WatchedLayer, output: Tensor, marks: bool) -> None:
        """Look at an output."""
        if output.shape != layer.shape:
            layer.fit(output)
        if not layer.counts:
            return
        units = layer.units if marks and layer.shows_off else None
        if units is not None:
            units.samples_now += layer.samples
        place = layer.place
        compiled = self._observe[output.dtype]
        if compiled is not None and output.is_cpu and output.is_contiguous() and (units is None or units.on_at):
            on = 0 if units is None else units.on_at
            outer, width, inner = layer.blocks
            limits, row = self._limits_at[place], self._row_at[place]
            compiled(output.data_ptr(), outer, width, inner, limits, layer.saturates, on, row)
            return
        mean, squares = moments(output).tolist()
        _join(self._rows[place], output.numel(), mean, squares)
        if layer.flat.bounds is not None:
            self._rows[place, 3] += saturated_count(output, *layer.flat.bounds).item()
        if units is not None:
            _mark(layer, units, output)

    def mark(self, layer: WatchedLayer, values: Tensor) -> None:
        """Look at which units are on."""
        if values.shape != layer.shape:
            layer.fit(values)
        units = layer.units
        if units is None or not layer.counts:
            return
        units.samples_now += layer.samples
        compiled = self._mark[values.dtype]
        if compiled is not None and values.is_cpu and values.is_contiguous() and units.on_at:
            compiled(values.data_ptr(), *layer.blocks, self._limits_at[layer.place], units.on_at)
        else:
            _mark(layer, units, values)

    def means(self) -> FloatArray:
        """Return the mean of each layer's outputs."""
        return np.where(self._rows[:, 0] > 0, self._rows[:, 1], np.nan)

    def deviations(self) -> FloatArray:
        """Return the standard deviation of each layer's outputs."""
        with np.errstate(invalid="ignore"):  # nothing over nothing is NaN
            deviations: FloatArray = np.sqrt(self._rows[:, 2] / self._rows[:, 0])
        return deviations

    def saturated(self, places: Sequence[int]) -> FloatArray:
        """Return the share of outputs that are saturated."""
        rows = self._rows[places]
        with np.errstate(invalid="ignore"):
            shares: FloatArray = rows[:, 3] / rows[:, 0]
        return shares

    def dead(self, places: Sequence[int]) -> FloatArray | None:
        """Close the step for all units, and return the share of dead ones."""
        shares = [self._dead_share(self._layers[place]) for place in places]
        return np.array(shares) if any(not math.isnan(share) for share in shares) else None

    def _dead_share(self, layer: WatchedLayer) -> float:
        dead = total = 0
        for units in layer.all_units.groups.values() if layer.all_units is not None else ():
            count = self._close(units)
            if units.judged:
                dead += count
                total += len(units.on)
        return dead / total if total else math.nan

    def _close(self, units: Units) -> int:
        if self._passes is None or not units.on_at:
            return int(units.close_step())
        samples = units.samples_now
        units.count_samples()
        return self._passes.close_units(units.on_at, units.off_for.data_ptr(), len(units.on), samples, DEAD_SAMPLES)

    def forget(self) -> None:
        """Begin a step."""
        self._rows.fill(0.0)
        for units in self._units:
            units.forget_step()


class DeferredTally:
    """Scalars on the device, until the step is over."""

    def __init__(self, layers: Sequence[WatchedLayer], device: torch.device) -> None:
        self._layers = layers
        self._units = _with_units(layers)
        self._missing = torch.full((), math.nan, dtype=torch.float64, device=device)
        self.forget()

    def observe(self, layer: WatchedLayer, output: Tensor, marks: bool) -> None:
        """Look at an output."""
        if output.shape != layer.shape:
            layer.fit(output)
        if not layer.counts:
            return
        place, count, now = layer.place, output.numel(), moments(output)
        if (before := self._moments.get(place)) is not None:
            now = _joined(self._counts[place], before, count, now)
        self._moments[place] = now
        self._counts[place] = self._counts.get(place, 0) + count
        if layer.flat.bounds is not None:
            saturated = saturated_count(output, *layer.flat.bounds)
            self._saturated[place] = self._saturated[place] + saturated if place in self._saturated else saturated
        if marks and layer.shows_off:
            self.mark(layer, output)

    def mark(self, layer: WatchedLayer, values: Tensor) -> None:
        """Look at which units are on."""
        if values.shape != layer.shape:
            layer.fit(values)
        if (units := layer.units) is not None and layer.counts:
            units.samples_now += layer.samples
            _mark(layer, units, values)

    def means(self) -> Tensor:
        """Return the mean of each layer's outputs."""
        return self._row([self._moments[place][0] if place in self._moments else None for place in self._places()])

    def deviations(self) -> Tensor:
        """Return the standard deviation of each layer's outputs."""
        found = (self._moments.get(place) for place in self._places())
        return self._row(
            [both if both is None else (both[1] / self._counts[place]).sqrt() for place, both in enumerate(found)]
        )

    def saturated(self, places: Sequence[int]) -> Tensor:
        """Return the share of outputs that are saturated."""
        return self._row(
            [self._saturated[place] / self._counts[place] if place in self._saturated else None for place in places]
        )

    def dead(self, places: Sequence[int]) -> Tensor | None:
        """Close the step for all units, and return the share of dead ones."""
        shares = [self._dead_share(self._layers[place]) for place in places]
        return self._row(shares) if any(share is not None for share in shares) else None

    def _dead_share(self, layer: WatchedLayer) -> Tensor | None:
        groups = list(layer.all_units.groups.values()) if layer.all_units is not None else []
        counts = [units.close_step() for units in groups]
        judged = [(units, count) for units, count in zip(groups, counts, strict=True) if units.judged]
        if not judged:
            return None
        dead = torch.stack([count.to(self._missing.device) for _, count in judged]).sum()
        return dead.double() / sum(len(units.on) for units, _ in judged)

    def forget(self) -> None:
        """Begin a step."""
        self._counts: dict[int, int] = {}
        self._moments: dict[int, Tensor] = {}
        self._saturated: dict[int, Tensor] = {}
        for units in self._units:
            units.forget_step()

    def _places(self) -> range:
        return range(len(self._layers))

    def _row(self, scalars: Sequence[Tensor | None]) -> Tensor:
        device = self._missing.device
        return torch.stack([self._missing if scalar is None else scalar.to(device) for scalar in scalars])


def _limits(layer: WatchedLayer) -> tuple[float, float, float, float]:
    off = layer.flat.off or NO_INTERVAL
    return off.low, off.high, *(layer.flat.bounds or (math.nan, math.nan))


def _mark(layer: WatchedLayer, units: Units, values: Tensor) -> None:
    if layer.flat.off is not None:
        units.on |= units_on(values.reshape(layer.blocks), layer.flat.off).to(units.on.device)


def _join(row: FloatArray, count: int, mean: float, squares: float) -> None:
    """Join the moments of further elements to those in a row. Chan, Golub and LeVeque 1979."""
    before, mean_before, squares_before = row[:3].tolist()  # numpy would warn of infinities
    if before == 0:
        row[:3] = count, mean, squares
        return
    distance = mean - mean_before
    total = before + count
    row[0] = total
    row[1] = mean_before + distance * (count / total)
    row[2] = squares_before + squares + distance * distance * (before * count / total)


def _joined(count: int, moments: Tensor, further_count: int, further: Tensor) -> Tensor:
    """Return the joint (mean, sum of squared distances) of two sets of elements. As `_join`, on the device."""
    further = further.to(moments.device)
    distance = further[0] - moments[0]
    total = count + further_count
    mean = moments[0] + distance * (further_count / total)
    return torch.stack([mean, moments[1] + further[1] + distance.square() * (count * further_count / total)])


def _with_units(layers: Sequence[WatchedLayer]) -> list[LayerUnits]:
    return [layer.all_units for layer in layers if layer.all_units is not None]
