"""Which initialization fits which activation, and the operations that give a model its initialization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.initialization import Init, WeightInit
from gradclinic.contract.naming import pointer
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import ACTIVATIONS, WEIGHTED, Place, Posted

ZEROS = {"type": "zeros_"}


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
    """Return the layers whose own `init` does not have the scheme's scale."""
    return [
        place
        for place in posted.places.values()
        if isinstance(place.layer, WEIGHTED)
        and place.layer.init is not None
        and not fits(place.layer.init, scheme, default_fits=default_fits)
    ]


def initialize(posted: Posted, scheme: Scheme, *, default_fits: bool = False) -> list[Operation]:
    """Return the operations that give every layer the scheme's weights, and zero biases.

    A layer's own `init` is removed where it does not fit, so that the model's counts for it.
    """
    operations: list[Operation] = []
    init = posted.spec.model.init
    if init is None:
        whole = {"weight": dict(scheme.weight), "bias": dict(ZEROS)}
        operations += set_value(posted.document, ("model", "init"), whole)
    else:
        if init.weight is None or not _has_scale_of(init.weight, scheme):
            operations += set_value(posted.document, ("model", "init", "weight"), dict(scheme.weight))
        operations += set_value(posted.document, ("model", "init", "bias"), dict(ZEROS))
    for place in misfits(posted, scheme, default_fits=default_fits):
        operations.append({"op": "remove", "path": pointer(*place.keys, "init")})
    return operations


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
