"""Units that nothing tells apart: they begin with the same weights, and get the same gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradclinic.contract.preflight import AlikeUnits
from gradclinic.history import LayerFacts

SAME_GRADIENT = 1e-4
"""Difference of two gradients relative to the largest of the layer, below which it is the rounding of sums."""

ROUNDING = 1e-6
"""The same relative to the largest of the network: where what comes back to a layer cancels out, rounding is all there is."""


def alike_units(network: nn.Module, layers: Sequence[LayerFacts]) -> list[AlikeUnits]:
    """List the layers some of whose units are copies of each other in weights and in the gradient that is there now.

    A last layer may begin as zeros, for each of its units has a gradient of its own.
    """
    parameters = dict(network.named_parameters())
    gradients = [p.grad.abs().max() for p in parameters.values() if p.grad is not None and p.numel()]
    rounding = ROUNDING * float(torch.stack(gradients).max()) if gradients else 0.0
    found = []
    for layer in layers:
        weights = [parameters[name] for name in layer.parameters if name in parameters]
        shares = [_share(weight.detach(), weight.grad, rounding) for weight in weights if _has_units(weight)]
        if shares and (share := min(shares)) > 0:
            found.append(AlikeUnits(layer=layer.name, share=share))
    return found


def _has_units(weight: Tensor) -> bool:
    return weight.dim() > 1 and len(weight) > 1 and weight.requires_grad


def _share(weight: Tensor, gradient: Tensor | None, rounding: float) -> float:
    """Return the share of rows (units) of a weight (units, ...) that equal another in all but its rounding."""
    rows = weight.reshape(len(weight), -1)
    slopes = torch.zeros_like(rows) if gradient is None else gradient.reshape(len(weight), -1)
    _, group, counts = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    places = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(counts, len(rows)).scatter_reduce(0, group, places, "amin")
    apart = (slopes - slopes[first[group]]).abs().amax(dim=1)
    alike = (counts[group] > 1) & (apart <= (SAME_GRADIENT * slopes.abs().max()).clamp(min=rounding))
    alike[first] &= torch.zeros_like(counts).scatter_add(0, group, alike.long()) > 1
    return float(alike.sum()) / len(rows)
