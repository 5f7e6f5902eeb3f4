"""Replace a plain recurrent layer by one whose gates keep what has to be kept.

When it applies:
    A gradient that vanishes or explodes through time in an RNN, or a loss that does not fall in a model with one.

What it changes:
    Every RNN becomes a GRU, or an LSTM, of the same size, which starts with orthogonal weights. Plain gradient descent, which
    trains gates slowly, becomes Adam.

What it costs:
    A GRU has three times the parameters of an RNN and takes about three times as long, an LSTM four.

When it is known not to help:
    Over depth rather than time. Over hundreds of steps gates forget, too: open by half, as they start, an LSTM's passes on half of the
    state at each step, which is why the GRU comes first.

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
from gradclinic.fixes.optimizer import NOT_ADAPTIVE, instead
from gradclinic.fixes.posted import Posted

KIND: FixKind = "gating"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")

ADAM_LR = 0.005
"""Adam's rate for gates. Measured on the adding problem of 30 elements, 500 steps, GRU of 32: r2 0.11 at 0.001, 0.97 to 0.99 at 0.005
and 0.01; of 40 elements under SGD at 0.05 with momentum 0.01 at best, where Adam at 0.005 reached 0.98."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose gates in every plain recurrent layer."""
    plain = [place for place in posted.places.values() if isinstance(place.layer, RNN)]
    over_depth = finding.rule in {"vanishing_gradient", "exploding_gradient"} and not is_through_time(finding)
    if not plain or over_depth:
        return []
    return [_gated(posted, "GRU"), _gated(posted, "LSTM")]


def _gated(posted: Posted, type_: str) -> Candidate:
    edits = Edits()
    is_plain = isinstance(posted.spec.optimizer, NOT_ADAPTIVE)
    adam = instead(posted, "Adam", ADAM_LR, "").patch if is_plain else []
    for place in posted.places.values():
        if isinstance(place.layer, RNN):
            kept: dict[str, Any] = {**posted.raw(place.keys), "type": type_, "init": copy.deepcopy(ORTHOGONAL)}
            kept.pop("nonlinearity", None)
            edits.replace(place.keys, kept)
    why = (
        f"In an RNN the gradient is multiplied by the same matrix at every element of the sequence. The gates of a {type_} let the "
        "state pass unchanged where they are open, and its gradient with it."
    )
    title = f"Replace RNN by {type_}, with orthogonal weights" + (
        f", and {posted.spec.optimizer.type} by Adam at {ADAM_LR:g}" if adam else ""
    )
    return Candidate(f"gating-{type_.lower()}", title, edits.operations() + adam, why)
