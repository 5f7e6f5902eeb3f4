"""Which part of a network loses or multiplies the gradient: its activations, its weights, or its sheer depth.

A gain is compared with what it could be. An activation is charged with what it passes on at best, and the weights before
it with what they miss to make up for it: ReLU halves the gradient's energy, which weights a factor sqrt(2) larger put
right (He et al. 2015), so with ReLU the weights are the cause; no weights put right what a sigmoid takes, because larger
ones saturate it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.diagnosis import Cause, CauseKind
from gradclinic.contract.layers import type_names
from gradclinic.diagnosis.confidence import wins_again
from gradclinic.diagnosis.shared_module import blame_shared, shared_module
from gradclinic.diagnosis.weighing import weighted_median
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
    """All layers of one kind that have the same to make up for: the `places` of their gains."""

    kind: str
    makeup: float
    places: npt.NDArray[np.intp]

    @property
    def role(self) -> CauseKind:
        return "activation" if self.kind in ACTIVATIONS else "weights"

    def decades(self, total: float) -> float:
        """Return by how many decades they are off what they could be, together, if their gains come to `total`."""
        owed = len(self.places) * math.log10(self.makeup)
        return total + owed if self.kind in ACTIVATIONS else total - owed

    def what(self, total: float) -> CauseKind:
        """Return what they are charged as."""
        return "depth" if abs(self.decades(total) / len(self.places)) < MILD else self.role


UNSEEN = " (or activations that the recorder cannot tell apart: called as functions, or one module called for several layers)"


def attribute(  # noqa: PLR0913 - what a gain is of, each by its keyword
    layers: Sequence[LayerFacts],
    gains: npt.NDArray[np.float64],
    *,
    weights: npt.NDArray[np.float64] | None = None,
    sign: int,
    sees_all: bool = True,
    off_trunk: Sequence[LayerFacts] = (),
) -> Cause | None:
    """Name the main cause of a loss (`sign` -1) or growth (+1) of the gradient.

    How sure it is says a bootstrap over the records and, within each kind, over the layers: whether a few of either decide.

    Args:
        layers: The trunk, first to last; (n,).
        gains: The gain of each layer but the first, in decades, in each record; (records, n - 1).
        weights: The steps that each record stands for; (records,).
        sign: Which direction is to be explained.
        sees_all: Whether every activation is among the layers. In a user's own model some may be plain functions.
        off_trunk: The other layers; one activation that is called several times is among them.

    Returns:
        The kind of cause with the largest share, or None where nothing goes in that direction.
    """
    gains, weights = _finite(gains, weights)
    if not len(gains):
        return None
    groups = _groups(layers)
    typical = weighted_median(gains, weights)
    totals = [float(typical[group.places].sum()) for group in groups]
    shares = _shares(groups, totals, sign)
    if not shares:
        return None
    what = _largest(shares)
    charged = [place for place, group in enumerate(groups) if group.what(totals[place]) == what]
    place = max(charged, key=lambda place: sign * groups[place].decades(totals[place]))
    hidden = what == "weights" and not sees_all and not any(layer.type in ACTIVATIONS for layer in layers)
    shared = (
        shared_module([layer for layer in off_trunk if layer.type in ACTIVATIONS], gains.shape[1]) if hidden else None
    )
    if shared is not None and sign < 0 and (blamed := blame_shared(shared, gains.sum(axis=1), weights)) is not None:
        return blamed
    unseen = UNSEEN if shared is None else f" (or {shared}, whose part cannot be told apart)"
    sure = _confidence(groups, gains, weights, sign, what)
    return Cause(
        what=what,
        detail=_detail(what, groups[place], totals[place]) + (unseen if hidden else ""),
        share=min(1.0, shares[what]),
        # Activations that nobody saw are as good an explanation, and nothing tells between the two.
        confidence=min(sure, 0.5) if hidden else sure,
    )


def _finite(
    gains: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the records that are numbers throughout, and the steps that each stands for; one, where nobody says."""
    finite = np.isfinite(gains).all(axis=1)
    return gains[finite], np.ones(int(finite.sum())) if weights is None else weights[finite]


def _groups(layers: Sequence[LayerFacts]) -> list[_Group]:
    """Group the layers by what they are, and by what they have to make up for."""
    members: dict[tuple[str, float], list[int]] = {}
    for place in range(1, len(layers)):
        kind = layers[place].type
        # The weights of a layer have to make up for the activation that follows it in the forward pass.
        following = layers[place + 1].type if place + 1 < len(layers) else ""
        makeup = MAKEUP.get(kind if kind in ACTIVATIONS else following, 1.0)
        members.setdefault((kind, makeup), []).append(place - 1)
    return [_Group(kind, makeup, np.array(places)) for (kind, makeup), places in members.items()]


def _shares(groups: Sequence[_Group], totals: Sequence[float], sign: int) -> dict[CauseKind, float]:
    """Return the share of each kind of cause in what goes in the direction; nothing where nothing does."""
    charged = [(group.what(total), sign * group.decades(total)) for group, total in zip(groups, totals, strict=True)]
    whole = sum(decades for _, decades in charged if decades > 0)
    shares: dict[CauseKind, float] = {}
    for what, decades in charged:
        if decades > 0:
            shares[what] = shares.get(what, 0.0) + decades / whole
    return shares


def _largest(shares: Mapping[CauseKind, float]) -> CauseKind:
    return max(shares, key=shares.__getitem__)


def _confidence(
    groups: Sequence[_Group],
    gains: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    sign: int,
    winner: CauseKind,
) -> float:
    """Return how often the same kind of cause has the largest share, with records and layers drawn anew."""
    by_group = np.stack([gains[:, group.places].sum(axis=1) for group in groups], axis=1)
    typical, middle = weighted_median(gains, weights), weighted_median(by_group, weights)

    def draw(records: npt.NDArray[np.intp], generator: np.random.Generator) -> CauseKind | None:
        moved = weighted_median(by_group[records], weights[records]) - middle
        totals = [
            float(typical[generator.choice(group.places, len(group.places))].sum() + shift)
            for group, shift in zip(groups, moved, strict=True)
        ]
        shares = _shares(groups, totals, sign)
        return _largest(shares) if shares else None

    return wins_again(len(gains), draw, winner)


def _detail(what: CauseKind, group: _Group, total: float) -> str:
    count = len(group.places)
    often, gain = f"{count} times over" if count > 1 else "once", 10 ** (total / count)
    if what == "activation":
        return f"{group.kind} passes on {gain:.2g} of the gradient, {often}"
    if what == "depth":
        return f"Each of {count} {group.kind} layers passes on {gain:.2g} of the gradient, and it adds up"
    return f"The weights of {group.kind} pass on {gain:.2g} of the gradient where {group.makeup:.2g} keeps it level, {often}"
