"""Replace a plain recurrent layer by one whose gates keep what has to be kept.

When it applies:
    A gradient that vanishes or explodes through time in an RNN, or a loss that does not fall in a model with one.

What it changes:
    Every RNN becomes a GRU, or an LSTM, of the same size, which starts with orthogonal weights.

What it costs:
    A GRU has three times the parameters of an RNN and takes about three times as long, an LSTM four.

When it is known not to help:
    Over depth rather than time. Over hundreds of steps their gates forget, too, unless they learn not to. Plain gradient descent
    trains gates slowly: a larger learning rate or Adam.

Source:
    - Hochreiter & Schmidhuber 1997, Long short-term memory
    - Cho et al. 2014, Learning phrase representations using RNN encoder-decoder, arXiv:1406.1078
    - Jozefowicz, Zaremba & Sutskever 2015, An empirical exploration of recurrent network architectures
"""

from __future__ import annotations

import copy
from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.sequence import RNN
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.initial_scale import ORTHOGONAL
from gradclinic.fixes.posted import Posted

KIND: FixKind = "gating"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose gates in every plain recurrent layer."""
    plain = [place for place in posted.places.values() if isinstance(place.layer, RNN)]
    over_depth = finding.rule in {"vanishing_gradient", "exploding_gradient"} and not is_through_time(finding)
    if not plain or over_depth:
        return []
    return [_gated(posted, "GRU"), _gated(posted, "LSTM")]


def _gated(posted: Posted, type_: str) -> Candidate:
    edits = Edits()
    for place in posted.places.values():
        if isinstance(place.layer, RNN):
            kept: dict[str, Any] = {**posted.raw(place.keys), "type": type_, "init": copy.deepcopy(ORTHOGONAL)}
            kept.pop("nonlinearity", None)
            edits.replace(place.keys, kept)
    why = (
        f"In an RNN the gradient is multiplied by the same matrix at every element of the sequence. The gates of a {type_} let the "
        "state pass unchanged where they are open, and its gradient with it."
    )
    title = f"Replace RNN by {type_}, with orthogonal weights"
    return Candidate(f"gating-{type_.lower()}", title, edits.operations(), why)
