"""Normalise what each hidden layer gives, before its activation.

When it applies:
    A gradient that vanishes or explodes with depth, units that saturate or die, inputs of another size, weights that start too large,
    values that are not finite, or a loss that does not fall, in a model with hidden layers that no normalization follows.

What it changes:
    A batch normalization after each hidden Linear and convolution that has none before the next, and their biases go: it would take
    them away again. Where batches are smaller than eight, whose statistics are too noisy, LayerNorm and GroupNorm; LayerNorm where
    samples are sequences. Never after the output layer.

What it costs:
    Two parameters a channel, and about a quarter more time a step.

When it is known not to help:
    When the model has no hidden layer, or when the learning rate itself is far too high. Against a gradient that is lost through
    time, inside a recurrent layer. Batch normalization makes gradients grow with depth at initialization: chains of fifty layers need
    shortcuts as well.

Source:
    - Ioffe & Szegedy 2015, Batch normalization, arXiv:1502.03167
    - Ba, Kiros & Hinton 2016, Layer normalization, arXiv:1607.06450
    - Wu & He 2018, Group normalization, arXiv:1803.08494
    - Yang et al. 2019, A mean field theory of batch normalization, arXiv:1902.08129
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer, Repeat
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.normalizer import fitting_normalization
from gradclinic.fixes.posted import (
    CONVOLUTIONS,
    NORMALIZATIONS,
    RECURRENT,
    WEIGHTED,
    Keys,
    Layers,
    Place,
    Posted,
    held_layers,
)
from gradclinic.fixes.shapes import leaf_output

KIND: FixKind = "normalization"
ADDRESSES: tuple[RuleId, ...] = (
    "vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing", "saturated_activations", "dead_units",
    "unnormalized_input", "poor_initialization",
)  # fmt: skip

NORMALIZED = (Linear, *CONVOLUTIONS, *RECURRENT)
"""The layers that a normalization can follow; attention has its own around it, by custom."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a normalization for all hidden layers that have none."""
    if is_through_time(finding):
        return []
    normalized = set(_followed_by_normalization(posted.layers, ("model", "layers")))
    edits, added = Edits(), {}
    for place in posted.hidden(NORMALIZED):
        value = None if place.is_in_shortcut or place.keys in normalized else _normalization_after(posted, place)
        if value is None:
            continue
        added[place.layer.type] = value["type"]
        edits.insert_after(place.keys, value)
        # A batch normalization subtracts the mean of each channel, and with it whatever bias was added.
        if value["type"].startswith("BatchNorm") and getattr(place.layer, "bias", False):
            edits.set((*place.keys, "bias"), value=False)
    if not added:
        return []
    types = sorted(set(added.values()))
    why = (
        f"{' and '.join(types)} brings what each hidden layer gives back to mean 0 and variance 1, so that neither the signal "
        "nor its gradient shrinks or grows by the scale of the weights, and saturating activations stay near their steepest part."
    )
    title = "Insert " + " and ".join(f"{type_} after each hidden {layer}" for layer, type_ in added.items())
    slug = f"normalization-{'-'.join(types).lower()}"
    return [Candidate(slug, title, edits.operations(), why)]


def _normalization_after(posted: Posted, place: Place) -> dict[str, Any] | None:
    layer = place.layer
    if isinstance(layer, Linear):
        return fitting_normalization(posted, layer, place.inputs, layer.out_features)
    if isinstance(layer, CONVOLUTIONS):
        return fitting_normalization(posted, layer, place.inputs, layer.out_channels)
    outputs = [leaf_output(layer, shape) for shape in place.inputs]
    return fitting_normalization(posted, layer, place.inputs, outputs[0][-1] if outputs and outputs[0] else None)


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
        roads = [(held, where) for where, held in held_layers(layer, here) if "shortcut" not in where[-1:]]
        for held, where in roads:
            for _ in range(min(layer.times, 2) if isinstance(layer, Repeat) else 1):
                yield from _main_road(held, where)
