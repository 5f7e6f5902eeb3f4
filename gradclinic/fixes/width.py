"""Make hidden layers wider where too little fits in.

When it applies:
    A loss that does not fall for no other reason that was found.

What it changes:
    `out_features`, `out_channels` and `hidden_size` of every hidden layer are doubled, wherever the shapes meet afterwards.

What it costs:
    Up to four times the parameters and the time.

When it is known not to help:
    Where something else keeps the model from learning: more units of the kind that do not learn. Half the width against overfitting
    is not proposed: measured on two tables and two sets of digits, it ended no better on any of them, and worse on three.

Source:
    - Goodfellow, Bengio & Courville 2016, Deep Learning, sections 5.2 and 11.4.1 (capacity)
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
ADDRESSES: tuple[RuleId, ...] = ("loss_not_decreasing",)

FACTOR = 2


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose twice the width."""
    if finding.cause is not None or finding.caused_by is not None:
        return []
    edits = Edits()
    for place in posted.places.values():
        if place.role == "hidden" and (key := _size_key(place.layer)) is not None:
            edits.replace((*place.keys, key), FACTOR * getattr(place.layer, key))
    if not edits or not keeps_output(posted, edits):
        return []
    why = "Nothing else was found that keeps it from learning; twice as many units can tell more inputs apart."
    return [Candidate("width-wider", "Double the width of the hidden layers", edits.operations(), why)]


def _size_key(layer: AnyLayer) -> str | None:
    match layer:
        case Linear():
            return "out_features"
        case Conv1d() | Conv2d() | Conv3d() | ConvTranspose1d() | ConvTranspose2d():
            return "out_channels" if layer.groups == 1 else None
        case RNN() | LSTM() | GRU():
            return "hidden_size" if not getattr(layer, "proj_size", 0) else None
    return None
