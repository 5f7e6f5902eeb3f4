"""Drop units in training against learning by heart; drop fewer where too few are left to learn from.

When it applies:
    Overfitting: where hidden units are not dropped, or fewer than a half. A dropout that holds learning back, or passes nothing on.

What it changes:
    Against overfitting a Dropout of 0.5 behind each hidden activation of a linear layer and 0.2 of whole channels behind those of
    convolutions, AlphaDropout behind SELU; what is posted with less is raised, between stacked recurrent layers too. Where dropout is the
    fault, each above 0.2 becomes 0.2, or none.

What it costs:
    Learning by fewer units at a time takes about twice as many steps.

When it is known not to help:
    Where the model is small, or does not fit its training data: it underfits more. Before a batch normalization it shifts the
    variance between training and evaluation.

Source:
    - Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting
    - Tompson et al. 2015, Efficient object localization using convolutional networks, arXiv:1411.4280
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
    - Li et al. 2019, Understanding the disharmony between dropout and batch normalization, arXiv:1801.05134
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.activations import SELU
from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits
from gradclinic.fixes.posted import ACTIVATIONS, ATTENTION, CONVOLUTIONS, RECURRENT, REGULARIZATIONS, Place, Posted

KIND: FixKind = "dropout"
ADDRESSES: tuple[RuleId, ...] = (
    "overfitting",
    "over_regularized",
    "zero_gradient",
    "unchanged_weights",
    "loss_not_decreasing",
)

HALF = 0.5
"""The usual share of hidden units that is dropped (Srivastava et al. 2014)."""

LOW = 0.2
"""A share that leaves most of the signal: that of inputs in Srivastava et al. 2014, and of channels here."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose more dropout for overfitting, and less where dropout is in the way."""
    if finding.rule == "overfitting":
        return _more(posted)
    return _less(posted, finding)


def _less(posted: Posted, finding: Finding) -> list[Candidate]:
    strong = _dropouts(posted, above=LOW)
    is_blocked = any(p >= 1.0 for _, p in strong)
    by_dropout = any(evidence.signal == "dropout" for evidence in finding.evidence)
    if not strong or not (is_blocked or by_dropout):
        return []
    most = max(p for _, p in strong)
    why = f"A dropout of {most:g} leaves {1 - most:.0%} of the numbers to learn from, and as much less of the gradient."
    return [
        Candidate("dropout-less", f"Lower dropout to {LOW:g}", _set_all(strong, LOW), why),
        Candidate("dropout-none", "Switch dropout off", _set_all(strong, 0.0), why),
    ]


def _more(posted: Posted) -> list[Candidate]:
    edits = Edits()
    present = [place for place in posted.places.values() if isinstance(place.layer, REGULARIZATIONS)]
    for place in present:
        wanted = LOW if place.layer.type in {"Dropout1d", "Dropout2d", "Dropout3d"} else HALF
        if place.role == "hidden" and getattr(place.layer, "p", 1.0) < wanted:
            edits.set((*place.keys, "p"), wanted)
    for place in posted.places.values():
        if isinstance(place.layer, RECURRENT) and place.layer.num_layers > 1 and place.layer.dropout < LOW:
            edits.set((*place.keys, "dropout"), LOW)
    if not present:
        for place, layer in _missing(posted):
            edits.insert_after(place.keys, layer)
    if not edits:
        return []
    why = (
        "No unit can rely on one other that has learned the same rows by heart: in each step other units are missing. "
        "The training loss ends higher for it."
    )
    verb = "Raise" if present else "Add"
    return [Candidate("dropout-more", f"{verb} dropout behind the hidden layers", edits.operations(), why)]


def _missing(posted: Posted) -> list[tuple[Place, dict[str, Any]]]:
    """Return the hidden activations that follow weights, each with the dropout that belongs behind it."""
    found = []
    for place in posted.hidden(ACTIVATIONS):
        weighted = _weights_before(posted, place)
        if weighted is not None and not place.is_in_shortcut:
            found.append((place, _fitting(place.layer, weighted)))
    return found


def _weights_before(posted: Posted, place: Place) -> AnyLayer | None:
    """Return the Linear or convolution whose output an activation gets, among its siblings."""
    for index in reversed(range(place.index)):
        layer = posted.places[*place.keys[:-1], index].layer
        if isinstance(layer, (Linear, *CONVOLUTIONS)):
            return layer
        if isinstance(layer, (*RECURRENT, *ATTENTION, *ACTIVATIONS)) or hasattr(layer, "layers"):
            return None
    return None


def _fitting(activation: AnyLayer, weighted: AnyLayer) -> dict[str, Any]:
    if isinstance(weighted, CONVOLUTIONS):
        return {"type": f"Dropout{weighted.type[-2:]}", "p": LOW}
    if isinstance(activation, SELU):
        # Of AlphaDropout much less is taken: Klambauer et al. use 0.05 and 0.1.
        return {"type": "AlphaDropout", "p": 0.1}
    return {"type": "Dropout", "p": HALF}


def _dropouts(posted: Posted, *, above: float) -> list[tuple[tuple[str | int, ...], float]]:
    """Return the keys of every probability of dropping that is above a bound, and the probability."""
    found = []
    for place in posted.places.values():
        for key in ("p", "dropout"):
            is_one = isinstance(place.layer, REGULARIZATIONS) if key == "p" else True
            p = getattr(place.layer, key, None) if is_one else None
            if p is not None and p > above:
                found.append(((*place.keys, key), float(p)))
    return found


def _set_all(places: list[tuple[tuple[str | int, ...], float]], p: float) -> list[dict[str, Any]]:
    edits = Edits()
    for keys, _ in places:
        edits.set(keys, p)
    return edits.operations()
