"""Which part of a network loses or multiplies the gradient: its activations, its weights, or its sheer depth.

A gain is compared with what it could be. An activation is charged with what it passes on at best, and the weights before
it with what they miss to make up for it: ReLU halves the gradient's energy, which weights a factor sqrt(2) larger put
right (He et al. 2015), so with ReLU the weights are the cause; no weights put right what a sigmoid takes, because larger
ones saturate it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
"""Decades by which layers of a kind may be off their best on average and still not be to blame: 11 percent. Many of
those are depth."""


@dataclass(frozen=True)
class _Group:
    """All layers of one kind: by how many decades they are off together, and what each passes on, typically."""

    kind: str
    role: Literal["activation", "weights"]
    count: int
    decades: float
    gain: float
    makeup: float

    @property
    def what(self) -> CauseKind:
        return "depth" if abs(self.decades / self.count) < MILD else self.role


UNSEEN = " (or activations that the recorder cannot tell apart: called as functions, or one module called for several layers)"


def attribute(
    layers: Sequence[LayerFacts], gains: Sequence[float], *, sign: int, sees_all: bool = True
) -> Cause | None:
    """Name the main cause of a loss (`sign` -1) or growth (+1) of the gradient.

    Args:
        layers: The trunk, first to last; (n,).
        gains: The gain of each layer but the first, in decades; (n - 1,).
        sign: Which direction is to be explained.
        sees_all: Whether every activation is among the layers. In a user's own model some may be plain functions.

    Returns:
        The kind of cause with the largest share, or None where nothing goes in that direction.
    """
    groups = [group for group in _groups(layers, gains) if sign * group.decades > 0]
    total = sum(abs(group.decades) for group in groups)
    if total == 0:
        return None
    shares: dict[CauseKind, float] = {}
    for group in groups:
        shares[group.what] = shares.get(group.what, 0.0) + abs(group.decades) / total
    what = max(shares, key=shares.__getitem__)
    main = max((group for group in groups if group.what == what), key=lambda group: abs(group.decades))
    hidden = what == "weights" and not sees_all and not any(layer.type in ACTIVATIONS for layer in layers)
    return Cause(what=what, detail=_detail(what, main) + (UNSEEN if hidden else ""), share=min(1.0, shares[what]))


def _groups(layers: Sequence[LayerFacts], gains: Sequence[float]) -> list[_Group]:
    """Group the layers by what they are, and by what they have to make up for."""
    members: dict[tuple[str, float], list[float]] = {}
    for place, gain in enumerate(gains, start=1):
        kind = layers[place].type
        # The weights of a layer have to make up for the activation that follows it in the forward pass.
        following = layers[place + 1].type if place + 1 < len(layers) else ""
        makeup = MAKEUP.get(kind if kind in ACTIVATIONS else following, 1.0)
        members.setdefault((kind, makeup), []).append(gain)
    return [_group(kind, makeup, found) for (kind, makeup), found in members.items()]


def _group(kind: str, makeup: float, gains: list[float]) -> _Group:
    total, owed = sum(gains), len(gains) * math.log10(makeup)
    gain = 10 ** (total / len(gains))
    if kind in ACTIVATIONS:
        return _Group(kind, "activation", len(gains), total + owed, gain, makeup)
    return _Group(kind, "weights", len(gains), total - owed, gain, makeup)


def _detail(what: CauseKind, group: _Group) -> str:
    often = f"{group.count} times over" if group.count > 1 else "once"
    if what == "activation":
        return f"{group.kind} passes on {group.gain:.2g} of the gradient, {often}"
    if what == "depth":
        return f"Each of {group.count} {group.kind} layers passes on {group.gain:.2g} of the gradient, and it adds up"
    return f"The weights of {group.kind} pass on {group.gain:.2g} of the gradient where {group.makeup:.2g} keeps it level, {often}"
