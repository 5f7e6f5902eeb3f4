"""Which initialization fits which activation, and the operations that give a model its initialization."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.feedforward import Embedding
from gradclinic.contract.initialization import Init, WeightInit
from gradclinic.contract.naming import pointer
from gradclinic.contract.spec import GraphModel
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import ACTIVATIONS, ATTENTION, RECURRENT, WEIGHTED, Place, Posted

ZEROS = {"type": "zeros_"}
ORTHOGONAL = {"weight": {"type": "orthogonal_"}, "bias": ZEROS}
PYTORCHS_OWN = Init(weight=None, bias=None)
"""An empty `init` of a layer: the model's does not count for it."""


@dataclass(frozen=True)
class Scheme:
    """A way to initialize weights, and the activations whose variance it keeps."""

    slug: str
    title: str
    weight: Mapping[str, Any]
    activations: frozenset[str]


HE = Scheme(
    "he",
    "He initialization",
    {"type": "kaiming_normal_", "nonlinearity": "relu"},
    frozenset({
        "ReLU", "LeakyReLU", "PReLU", "RReLU", "ReLU6", "ELU", "CELU", "GELU", "SiLU", "Mish", "Hardswish", "Softplus",
        "Threshold",
    }),
)  # fmt: skip
LECUN = Scheme(
    "lecun",
    "LeCun initialization",
    {"type": "kaiming_normal_", "nonlinearity": "linear"},
    frozenset({"SELU"}),
)
XAVIER = Scheme("xavier", "Xavier initialization", {"type": "xavier_normal_"}, frozenset())
"""For all that is not named above: near 0 it is the identity, or a slope that no initialization makes up for."""


def fitting_scheme(posted: Posted) -> Scheme:
    """Return the scheme for the activation that most hidden layers have."""
    counts: Counter[str] = Counter()
    for place in posted.hidden(ACTIVATIONS):
        counts[_scheme_of(place.layer.type).slug] += place.turns
    return max((HE, LECUN, XAVIER), key=lambda scheme: (counts[scheme.slug], scheme is XAVIER))


def fits(init: Init | None, scheme: Scheme, *, default_fits: bool) -> bool:
    """Whether an initialization has the scheme's scale. PyTorch's default, which is smaller, counts as told."""
    if init is None:
        return default_fits
    has_calm_bias = init.bias is None or init.bias.type == "zeros_"
    return has_calm_bias and (default_fits if init.weight is None else _has_scale_of(init.weight, scheme))


def misfits(posted: Posted, scheme: Scheme, *, default_fits: bool) -> list[Place]:
    """Return the layers whose own `init` does not have the scheme's scale, or what they need in its stead."""
    found = []
    for place in posted.places.values():
        init = getattr(place.layer, "init", None)
        if isinstance(place.layer, RECURRENT):
            is_misfit = init is not None and not _is_orthogonal(init)
        elif isinstance(place.layer, (*ATTENTION, Embedding)):
            is_misfit = init is not None and init != PYTORCHS_OWN
        else:
            is_misfit = isinstance(place.layer, WEIGHTED) and init is not None
            is_misfit = is_misfit and not fits(init, scheme, default_fits=default_fits)
        if is_misfit:
            found.append(place)
    return found


def initialize(posted: Posted, scheme: Scheme, *, default_fits: bool = False) -> list[Operation]:
    """Return the operations that give every layer the scheme's weights, and zero biases.

    A layer's own `init` is removed where it does not fit, so that the model's counts for it. Recurrent layers get orthogonal
    weights; attention and embeddings, whose scale the scheme is not made for, keep PyTorch's own start by an empty `init`.
    """
    if isinstance(posted.spec.model, GraphModel):
        return set_value(posted.document, ("model", "init"), {"weight": dict(scheme.weight), "bias": dict(ZEROS)})
    operations: list[Operation] = []
    init = posted.spec.model.init
    if init is None:
        whole = {"weight": dict(scheme.weight), "bias": dict(ZEROS)}
        operations += set_value(posted.document, ("model", "init"), whole)
    else:
        if init.weight is None or not _has_scale_of(init.weight, scheme):
            operations += set_value(posted.document, ("model", "init", "weight"), dict(scheme.weight))
        operations += set_value(posted.document, ("model", "init", "bias"), dict(ZEROS))
    operations += orthogonal(posted)
    for place in posted.places.values():
        if isinstance(place.layer, (*ATTENTION, Embedding)) and getattr(place.layer, "init", None) != PYTORCHS_OWN:
            operations.append({"op": "add", "path": pointer(*place.keys, "init"), "value": {}})
    for place in misfits(posted, scheme, default_fits=default_fits):
        if not isinstance(place.layer, (*RECURRENT, *ATTENTION, Embedding)):
            operations.append({"op": "remove", "path": pointer(*place.keys, "init")})
    return operations


def orthogonal(posted: Posted) -> list[Operation]:
    """Return the operations that start every recurrent layer with orthogonal weights and zero biases.

    Multiplied by itself step after step, an orthogonal matrix neither shrinks nor grows a gradient (Saxe et al. 2014).
    """
    return [
        {"op": "add", "path": pointer(*place.keys, "init"), "value": copy.deepcopy(ORTHOGONAL)}
        for place in posted.places.values()
        if isinstance(place.layer, RECURRENT) and not _is_orthogonal(getattr(place.layer, "init", None))
    ]


def _is_orthogonal(init: Init | None) -> bool:
    if init is None or init.weight is None:
        return False
    has_calm_bias = init.bias is None or init.bias.type == "zeros_"
    return has_calm_bias and init.weight.type == "orthogonal_" and init.weight.gain == 1.0


def _scheme_of(activation: str) -> Scheme:
    return next((scheme for scheme in (HE, LECUN) if activation in scheme.activations), XAVIER)


def _has_scale_of(weight: WeightInit, scheme: Scheme) -> bool:
    """Whether the weights are drawn at the scheme's deviation, be it from a normal or a uniform distribution."""
    match weight.type:
        case "kaiming_normal_" | "kaiming_uniform_":
            # leaky_relu with a slope of 0 is PyTorch's default and has the gain of relu.
            is_relu = weight.nonlinearity == "relu" or (weight.nonlinearity == "leaky_relu" and weight.a == 0)
            return (scheme is HE and is_relu) or (scheme is LECUN and weight.nonlinearity == "linear")
        case "xavier_normal_" | "xavier_uniform_" | "orthogonal_":
            # 5/3 is PyTorch's recommended gain for tanh.
            return scheme is XAVIER and 1.0 <= weight.gain <= 5 / 3 + 1e-3
    return False
