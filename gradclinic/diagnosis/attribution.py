"""Which part of a network loses or multiplies the gradient: its activations, its weights, or its sheer depth.

A gain is compared with what it could be. An activation is charged with what it passes on at best, and the weights before
it with what they miss to make up for it: ReLU halves the gradient's energy, which weights a factor sqrt(2) larger put
right (He et al. 2015), so with ReLU the weights are the cause; no weights put right what a sigmoid takes, because larger
ones saturate it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.diagnosis import Cause, CauseKind
from gradclinic.contract.layers import type_names
from gradclinic.history import LayerFacts

ACTIVATIONS = type_names(AnyActivation)

MAKEUP: dict[str, float] = {
    # Weight gain sqrt(1 / E[f'(x)^2]) for x ~ N(0, 1), for activations that larger weights do not saturate.
    "ReLU": math.sqrt(2),
    "ReLU6": math.sqrt(2),
    "LeakyReLU": math.sqrt(2),
    "RReLU": math.sqrt(2),
    "PReLU": math.sqrt(2),
    "Threshold": math.sqrt(2),
    "ELU": 1.24,
    "CELU": 1.24,
    "GELU": 1.48,
    "SiLU": 1.62,
    "Mish": 1.48,
}
"""By how much the weights before an activation have to be larger to keep the gradient level; 1 for all others."""

MILD = 0.05
"""Decades by which one layer may be off its best and still not be to blame: 11 percent. Many of those are depth."""


@dataclass(frozen=True)
class _Part:
    layer: LayerFacts
    what: CauseKind
    decades: float
    raw: float
    makeup: float


def attribute(layers: Sequence[LayerFacts], gains: Sequence[float], *, sign: int) -> Cause | None:
    """Name the main cause of a loss (`sign` -1) or growth (+1) of the gradient.

    Args:
        layers: The trunk, first to last; (n,).
        gains: The gain of each layer but the first, in decades; (n - 1,).
        sign: Which direction is to be explained.

    Returns:
        The kind of cause with the largest share, or None where nothing goes in that direction.
    """
    parts = [part for part in _parts(layers, gains) if sign * part.decades > 0]
    total = sum(abs(part.decades) for part in parts)
    if total == 0:
        return None
    shares: Counter[CauseKind] = Counter()
    for part in parts:
        shares[part.what] += abs(part.decades) / total  # type: ignore[assignment]  # Counter takes floats
    what, share = shares.most_common(1)[0]
    return Cause(what=what, detail=_detail(what, [part for part in parts if part.what == what]), share=min(1.0, share))


def _parts(layers: Sequence[LayerFacts], gains: Sequence[float]) -> list[_Part]:
    parts = []
    for place, (layer, gain) in enumerate(zip(layers[1:], gains, strict=True), start=1):
        is_activation = layer.type in ACTIVATIONS
        # The weights of a layer have to make up for the activation that follows it in the forward pass.
        following = layers[place + 1].type if place + 1 < len(layers) else ""
        makeup = MAKEUP.get(layer.type if is_activation else following, 1.0)
        decades = gain + math.log10(makeup) if is_activation else gain - math.log10(makeup)
        what: CauseKind = "activation" if is_activation else "weights"
        parts.append(_Part(layer, "depth" if abs(decades) < MILD else what, decades, gain, makeup))
    return parts


def _detail(what: CauseKind, parts: Sequence[_Part]) -> str:
    kinds = Counter(part.layer.type for part in parts)
    kind, times = kinds.most_common(1)[0]
    typical = [part for part in parts if part.layer.type == kind]
    gain = 10 ** (sum(part.raw for part in typical) / times)
    often = f"{times} times over" if times > 1 else "once"
    if what == "activation":
        return f"{kind} passes on {gain:.2g} of the gradient, {often}"
    if what == "depth":
        return f"Each of {len(parts)} layers changes the gradient by little ({gain:.2g} on average), and it adds up"
    wanted = typical[0].makeup
    return f"The weights of {kind} pass on {gain:.2g} of the gradient where {wanted:.2g} keeps it level, {often}"
