"""Put activations in place that pass the gradient on, where they belong.

When it applies:
    A vanishing gradient, saturated units, or a loss that does not fall, in a model with saturating activations between its layers:
    Sigmoid passes on at most a quarter of the gradient, Tanh less than all of it. Dead units of ReLU. A softmax between
    layers, and layers without any nonlinearity between them.

What it changes:
    Every such activation before the output layer becomes ReLU, with He initialization, which is what keeps the
    variance behind it; or SELU with LeCun initialization in a plain chain, its Dropout turned into AlphaDropout. What follows the last
    weights belongs to the loss and stays. Where units die, ReLU becomes LeakyReLU. Where nonlinearities are missing, ReLU is inserted. The Tanh of an
    RNN whose gradient vanishes through time becomes ReLU, with orthogonal weights. In a deep model under SGD the learning rate is lowered to what the undamped gradient bears.

What it costs:
    Nothing: ReLU is the cheapest activation there is.

When it is known not to help:
    When the activations are not what damps the gradient: ReLU with weights that are drawn too small vanishes just the
    same. ReLU units can die at a high learning rate.

Source:
    - Glorot, Bordes & Bengio 2011, Deep sparse rectifier neural networks
    - He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
    - Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic models (leaky units)
    - Le, Jaitly & Hinton 2015, A simple way to initialize recurrent networks of rectified linear units, arXiv:1504.00941
    - Lu et al. 2019, Dying ReLU and initialization, arXiv:1903.06733
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gradclinic.contract.activations import LogSoftmax, Softmax
from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import Dense, Parallel, Residual
from gradclinic.contract.sequence import RNN
from gradclinic.fixes.blocks import blocks_in, lists_of_layers
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.initial_scale import HE, LECUN, Scheme, initialize, orthogonal
from gradclinic.fixes.posted import (
    ACTIVATIONS,
    CONVOLUTIONS,
    NORMALIZATIONS,
    REGULARIZATIONS,
    Place,
    Posted,
)
from gradclinic.fixes.step_size import WHY_SHORTER_STEPS, and_shorter_steps, calm_steps
from gradclinic.fixes.tail import renamed

KIND: FixKind = "activation"
ADDRESSES: tuple[RuleId, ...] = (
    "vanishing_gradient", "loss_not_decreasing", "saturated_activations", "dead_units", "misplaced_activation",
    "poor_initialization",
)  # fmt: skip

DAMPING = frozenset({
    "Sigmoid", "Hardsigmoid", "LogSigmoid", "Tanh", "Hardtanh", "Softsign", "Tanhshrink", "Hardshrink", "Softshrink",
})  # fmt: skip
"""Their slope is below one, or zero, over much of their range; for the shrinking ones around 0 itself."""

DYING = frozenset({"ReLU", "ReLU6", "Threshold", "Hardswish", "Hardshrink", "Softshrink"})
"""Activations of slope 0 over a whole side, or more."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose ReLU with He initialization, then SELU with LeCun initialization; or what dead and missing units need."""
    if is_through_time(finding):
        return _rectified(posted) if finding.rule == "vanishing_gradient" else []
    if finding.rule == "misplaced_activation":
        return _between_layers(posted)
    if finding.rule == "dead_units":
        return _leaky(posted)
    damping = [place for place in posted.hidden(ACTIVATIONS) if place.layer.type in DAMPING | _named(posted, finding)]
    if not damping:
        return []
    old = _types(damping)
    passes = f"{old} passes on only part of the gradient in each layer"
    relu_why = f"{passes}; ReLU passes on all of it where it is active, and {HE.title} keeps its scale."
    selu_why = f"{passes}; SELU draws mean and variance towards 0 and 1 in a plain chain, and no unit can die."
    relu = _replaced(posted, damping, "ReLU", HE, relu_why)
    return [relu, _selu(posted, damping, selu_why)] if _is_plain_chain(posted, damping) else [relu]


def _rectified(posted: Posted) -> list[Candidate]:
    """Propose the rectifier in plain recurrent layers, whose Tanh damps the gradient at each element of the sequence."""
    damped = [
        place for place in posted.places.values() if isinstance(place.layer, RNN) and place.layer.nonlinearity == "tanh"
    ]
    edits = Edits()
    for place in damped:
        edits.set((*place.keys, "nonlinearity"), "relu")
    why = (
        "Tanh takes something off the gradient at every element of the sequence; a rectifier passes on all of it where it is active, and "
        "orthogonal weights keep its size. Over long sequences it may explode instead."
    )
    title = "Use ReLU in the RNN, with orthogonal weights"
    return [Candidate("activation-rnn-relu", title, orthogonal(posted) + edits.operations(), why)] if damped else []


def _replaced(posted: Posted, places: Sequence[Place], type_: str, scheme: Scheme, why: str) -> Candidate:
    edits = Edits()
    for place in places:
        edits.replace(place.keys, renamed({"type": type_}, place))
    change = (f"activation-{type_.lower()}", f"Replace {_types(places)} by {type_}", why)
    return _initialized(posted, edits, scheme, change)


def _selu(posted: Posted, damping: Sequence[Place], why: str) -> Candidate:
    edits, dropouts = Edits(), posted.hidden(REGULARIZATIONS)
    for place in damping:
        edits.replace(place.keys, renamed({"type": "SELU"}, place))
    for place in dropouts:
        p = getattr(place.layer, "p", 0.5)
        edits.replace(place.keys, renamed({"type": "AlphaDropout", "p": p}, place))
    swapped = [place for place in dropouts if place.layer.type != "AlphaDropout"]
    title = f"Replace {_types(damping)} by SELU" + (f", {_types(swapped)} by AlphaDropout" if swapped else "")
    return _initialized(posted, edits, LECUN, ("activation-selu", title, why))


def _leaky(posted: Posted) -> list[Candidate]:
    dying = [place for place in posted.hidden(ACTIVATIONS) if place.layer.type in DYING]
    why = (
        f"{_types(dying)} passes nothing back where it is off, and a unit that is off for every sample stays so; LeakyReLU passes back "
        f"a hundredth, which brings it back. {HE.title} with zero biases has half of the units on at the start."
    )
    return [_replaced(posted, dying, "LeakyReLU", HE, why)] if dying else []


def _between_layers(posted: Posted) -> list[Candidate]:
    """Propose ReLU for a softmax between layers, or where no activation is."""
    sharing = posted.hidden((Softmax, LogSoftmax))
    if sharing:
        why = (
            f"The units behind a {_types(sharing)} share a sum, so that each can only grow at the others' cost, and little gradient comes "
            "through; ReLU treats each by itself."
        )
        return [_replaced(posted, sharing, "ReLU", HE, why)]
    if posted.hidden(ACTIVATIONS):
        return []
    edits = Edits()
    for keys, layers in lists_of_layers(posted):
        for block in blocks_in(posted, layers, keys):
            if isinstance(block.place.layer, (Linear, *CONVOLUTIONS)):
                norms = [i for i, layer in enumerate(block.layers) if isinstance(layer, NORMALIZATIONS)]
                edits.insert_after((*keys, block.place.index + (norms[-1] if norms else 0)), {"type": "ReLU"})
    if not edits:
        return []
    why = "Layers with weights and nothing between them are together one linear layer; with a nonlinearity after each they can bend."
    return [_initialized(posted, edits, HE, ("activation-added", "Insert ReLU after each hidden layer", why))]


def _initialized(posted: Posted, edits: Edits, scheme: Scheme, change: tuple[str, str, str]) -> Candidate:
    """Return the edits with the initialization and the learning rate that they ask for; `change` is its slug, title and why."""
    slug, title, why = change
    calm = calm_steps(posted)
    title = f"{title}, with {scheme.title}{and_shorter_steps(calm)}"
    # What the initialization changes lies within layers, whose places have to be as posted still.
    patch = initialize(posted, scheme) + edits.operations() + calm
    return Candidate(slug, title, patch, why + (WHY_SHORTER_STEPS if calm else ""))


def _types(places: Sequence[Place]) -> str:
    return " and ".join(dict.fromkeys(place.layer.type for place in places))


def _named(posted: Posted, finding: Finding) -> set[str]:
    """Return the hidden activations that the finding's cause calls by name; ReLU is what we would replace them by."""
    if finding.cause is None or finding.cause.what != "activation":
        return set()
    words = set(re.findall(r"\w+", finding.cause.detail))
    posted_types: set[str] = {place.layer.type for place in posted.hidden(ACTIVATIONS)}
    return posted_types & words - {"ReLU", "SELU"}


def _is_plain_chain(posted: Posted, damping: Sequence[Place]) -> bool:
    """Whether SELU's conditions hold: no normalization, sum or other activation would disturb it, nor dropout of channels."""
    others = posted.hidden((*NORMALIZATIONS, Residual, Dense, Parallel))
    of_units = all(place.layer.type in {"Dropout", "AlphaDropout"} for place in posted.hidden(REGULARIZATIONS))
    return of_units and not others and len(damping) == len(posted.hidden(ACTIVATIONS))
