"""Normalise what each hidden layer gives, before its activation.

When it applies:
    A gradient that vanishes or explodes with depth, values that are not finite, or a loss that does not fall, in a model
    with hidden layers that no normalization follows.

What it changes:
    BatchNorm1d after each hidden Linear that has none before the next; LayerNorm where the batches are smaller than
    eight, whose statistics are too noisy, or where the samples are more than vectors. Never after the output layer.

When it is known not to help:
    When the model has no hidden layer, or when the learning rate itself is far too high. Batch normalization makes
    gradients grow with depth at initialization: chains of fifty layers need shortcuts as well.

Source:
    - Ioffe & Szegedy 2015, Batch normalization, arXiv:1502.03167
    - Ba, Kiros & Hinton 2016, Layer normalization, arXiv:1607.06450
    - Yang et al. 2019, A mean field theory of batch normalization, arXiv:1902.08129
"""

from __future__ import annotations

from collections.abc import Iterator

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer, Repeat
from gradclinic.contract.naming import pointer
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.normalizer import MIN_FEATURES, fitting_normalization
from gradclinic.fixes.posted import NORMALIZATIONS, WEIGHTED, Keys, Layers, Place, Posted, held_layers

KIND: FixKind = "normalization"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")


def propose(posted: Posted, finding: Finding) -> list[Candidate]:  # noqa: ARG001 - every fix module has one signature
    """Propose one kind of normalization for all hidden layers that have none."""
    normalized = set(_followed_by_normalization(posted.layers, ("model", "layers")))
    bare = [place for place in _hidden_linears(posted) if place.keys not in normalized]
    type_ = fitting_normalization(posted, (shape for place in bare for shape in place.inputs))
    if type_ == "LayerNorm":
        bare = [place for place in bare if isinstance(place.layer, Linear) and place.layer.out_features >= MIN_FEATURES]
    if not bare:
        return []
    # From the back: an insertion shifts what stands behind it in the same list.
    patch = [
        {"op": "add", "path": pointer(*place.keys[:-1], place.index + 1), "value": {"type": type_}}
        for place in sorted(bare, key=lambda place: place.keys, reverse=True)
    ]
    why = (
        f"{type_} brings what each hidden layer gives back to mean 0 and variance 1, so that neither the signal nor its "
        "gradient shrinks or grows by the scale of the weights, and saturating activations stay near their steepest part."
    )
    return [Candidate(f"normalization-{type_.lower()}", f"Insert {type_} after each hidden Linear", patch, why)]


def _hidden_linears(posted: Posted) -> list[Place]:
    return [place for place in posted.hidden(WEIGHTED) if not place.is_in_shortcut]


def _followed_by_normalization(layers: Layers, keys: Keys) -> Iterator[Keys]:
    """Yield the layers with weights that meet a normalization before the next ones, in some turn."""
    pending: Keys | None = None
    for here, layer in _main_road(layers, keys):
        if isinstance(layer, WEIGHTED):
            pending = here
        elif isinstance(layer, NORMALIZATIONS) and pending is not None:
            yield pending
            pending = None


def _main_road(layers: Layers, keys: Keys) -> Iterator[tuple[Keys, AnyLayer]]:
    """Yield the layers in forward order, a `Repeat` twice over, so that the end of a turn meets the next one's start."""
    for index, layer in enumerate(layers):
        here = (*keys, index)
        yield here, layer
        for held, where in [(held, where) for where, held in held_layers(layer, here)][:1]:
            for _ in range(min(layer.times, 2) if isinstance(layer, Repeat) else 1):
                yield from _main_road(held, where)
