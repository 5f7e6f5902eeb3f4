r"""How far gradient and signal get through a network at its initialization, followed from layer to layer.

In wide random networks both change by the same factor in each layer, so that their logarithm is a straight line over depth
(Schoenholz et al. 2017, arXiv 1611.01232). The logarithm is a sum of one gain a layer, a random walk with a drift: its drift
is best estimated by the mean of the gains, whose errors are independent, and not by least squares, whose are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor, nn

from gradclinic.contract.preflight import DepthSlope
from gradclinic.history import History, LayerFacts

FEWEST_LAYERS = 3
"""Layers with weights before the last one, without which there is no line to see."""

SMALLEST_NORM = 1.2e-38
"""The smallest normal float32: what is below it lost its digits."""

SMALLEST_SPREAD = 1e-6
"""Deviation between samples relative to the outputs' size, below which it is float32's rounding (6e-8) to a good part."""


def weight_layers(network: nn.Module, layers: Sequence[LayerFacts]) -> list[str]:
    """Name the layers along the trunk that hold weights to be trained, the last one left out: it has a scale of its own."""
    modules = dict(network.named_modules())
    on_trunk = (layer.name for layer in layers if layer.on_trunk and layer.name in modules)
    return [name for name in on_trunk if any(p.dim() > 1 for p in modules[name].parameters())][:-1]


def gradient_decades(history: History, layers: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return log10 of the gradient's norm at the outputs of layers, (len(layers),): the median over the batches.

    NaN where it is not finite, or too small for float32.
    """
    if "activation_grad_norm" not in history:
        return np.full(len(layers), np.nan)
    table = history["activation_grad_norm"]
    norms = table.values[:, [table.subjects.index(layer) for layer in layers]]
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10(np.where(norms > SMALLEST_NORM, norms, np.nan))
    return np.median(decades, axis=0)


@contextmanager
def spreads_watched(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, float]]:
    """Measure the spread of each layer's output while the block runs: the root mean square over units of the deviation between
    samples, which is what is left of their differences. NaN where that is rounding, or one sample.
    """
    modules, spreads = dict(network.named_modules()), dict.fromkeys(layers, math.nan)

    def watch(name: str) -> Callable[[nn.Module, object, Tensor | tuple[Tensor, ...]], None]:
        def measure(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            spreads[name] = _spread(output[0] if isinstance(output, tuple) else output)

        return measure

    handles = [modules[name].register_forward_hook(watch(name)) for name in layers]
    try:
        yield spreads
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _spread(output: Tensor) -> float:
    values = output.detach().double()  # (samples, ...)
    if len(values) < 2 or not bool(torch.isfinite(values).all()):
        return math.nan
    spread, size = float((values - values.mean(dim=0)).square().mean().sqrt()), float(values.square().mean().sqrt())
    return spread if spread > SMALLEST_SPREAD * size else math.nan


def spread_decades(spreads: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Return log10 of spreads, first layer to last."""
    return np.log10(np.array(list(spreads.values()), np.float64))


def slope_of(lines: Sequence[npt.NDArray[np.float64]], *, backward: bool) -> DepthSlope | None:
    """Return the drift over depth of lines (layers,), one a seed, first layer to last.

    Args:
        lines: Decades at each layer; NaN where unknown, and changes from or to there are left out.
        backward: Whether the walk begins at the last layer, as a gradient's.

    Returns:
        The mean change a layer with the t-distribution's interval; None of too few layers or where nothing is known.
    """
    layers = len(lines[0]) if lines else 0
    if layers < FEWEST_LAYERS:
        return None
    changes = np.concatenate([-np.diff(line) if backward else np.diff(line) for line in lines])
    known = changes[np.isfinite(changes)]
    if not len(known):
        return None
    mean, ci95 = float(known.mean()), None
    if len(known) > 1:
        half = float(stats.t.ppf(0.975, len(known) - 1)) * float(known.std(ddof=1)) / math.sqrt(len(known))
        ci95 = (mean - half, mean + half)
    return DepthSlope(per_layer=mean, ci95=ci95, layers=layers)
