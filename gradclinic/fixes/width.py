"""Make hidden layers wider where too little fits in, narrower where too much does.

When it applies:
    A loss that does not fall for no other reason that was found: twice the width. Overfitting: half of it.

What it changes:
    `out_features`, `out_channels` and `hidden_size` of every hidden layer, wherever the shapes meet afterwards.

What it costs:
    Twice the width is up to four times the parameters and the time; half of it a quarter.

When it is known not to help:
    Where something else keeps the model from learning: more units of the kind that do not learn. A wide model with early
    stopping or weight decay often generalizes better than a narrow one.

Source:
    - Goodfellow, Bengio & Courville 2016, Deep Learning, sections 5.2 and 11.4.1 (capacity)
    - Geman, Bienenstock & Doursat 1992, Neural networks and the bias/variance dilemma
    - Belkin et al. 2019, Reconciling modern machine learning and the bias-variance trade-off, arXiv:1812.11118
"""

from __future__ import annotations

from gradclinic.contract.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d
from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer
from gradclinic.contract.sequence import GRU, LSTM, RNN
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits, keeps_output
from gradclinic.fixes.posted import Posted

KIND: FixKind = "width"
ADDRESSES: tuple[RuleId, ...] = ("loss_not_decreasing", "overfitting")

FACTOR = 2.0

LEAST = 2
"""Units that are left of any layer: one passes on a single number."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose twice the width, or half of it for overfitting."""
    if finding.rule == "overfitting":
        why = "A model of half the width can store less of what its few training rows do not share, and has to find what they do."
        return _scaled(posted, 1 / FACTOR, "width-narrower", "Halve the width of the hidden layers", why)
    if finding.cause is not None or finding.caused_by is not None:
        return []
    why = "Nothing else was found that keeps it from learning; twice as many units can tell more inputs apart."
    return _scaled(posted, FACTOR, "width-wider", "Double the width of the hidden layers", why)


def _scaled(posted: Posted, factor: float, slug: str, title: str, why: str) -> list[Candidate]:
    edits = Edits()
    for place in posted.places.values():
        if place.role == "hidden" and (key := _size_key(place.layer)) is not None:
            size = getattr(place.layer, key)
            scaled = max(min(size, LEAST), round(size * factor))
            if scaled != size:
                edits.replace((*place.keys, key), scaled)
    if not edits or not keeps_output(posted, edits):
        return []
    return [Candidate(slug, title, edits.operations(), why)]


def _size_key(layer: AnyLayer) -> str | None:
    match layer:
        case Linear():
            return "out_features"
        case Conv1d() | Conv2d() | Conv3d() | ConvTranspose1d() | ConvTranspose2d():
            return "out_channels" if layer.groups == 1 else None
        case RNN() | LSTM() | GRU():
            return "hidden_size" if not getattr(layer, "proj_size", 0) else None
    return None
