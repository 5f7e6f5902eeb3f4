"""Changes of the layers of a posted network that remedies ask for. None of them changes what it is given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tools.evidence.faults import Document

Layer = dict[str, Any]

ACTIVATIONS = frozenset({"ReLU", "Sigmoid", "Tanh"})


def replace_each(document: Document, change: Callable[[Layer], list[Layer]]) -> Document:
    """Return the spec with every layer, inside of `Repeat` too, replaced by what `change` makes of it."""
    changed = copy.deepcopy(document)
    changed["model"]["layers"] = _replaced(changed["model"]["layers"], change)
    return changed


def activation_of(document: Document) -> str:
    """Return the activation of the hidden layers, by PyTorch's name."""
    for layer in document["model"]["layers"]:
        if layer["type"] in ACTIVATIONS:
            return str(layer["type"])
        if layer["type"] == "RNN":
            return {"relu": "ReLU", "tanh": "Tanh"}[layer["nonlinearity"]]
    raise ValueError("There is no activation among the layers.")


def with_activation(document: Document, name: str, weight: Layer | None = None) -> Document:
    """Return the spec with another activation in hidden layers, and with its weights drawn another way if `weight` is given."""

    def change(layer: Layer) -> list[Layer]:
        if layer["type"] == "RNN":
            return [layer | {"nonlinearity": name.lower()}]
        return [{"type": name}] if layer["type"] in ACTIVATIONS else [layer]

    changed = replace_each(document, change)
    return changed if weight is None else with_weights(changed, weight)


def with_weights(document: Document, weight: Layer) -> Document:
    """Return the spec with all weights drawn this way, and biases of 0, whatever single layers said."""
    changed = replace_each(document, lambda layer: [{key: layer[key] for key in layer if key != "init"}])
    changed["model"]["init"] = {"weight": weight, "bias": {"type": "zeros_"}}
    return changed


def after_activations(document: Document, added: Layer) -> Document:
    """Return the spec with a layer after each hidden activation, and after an RNN."""
    return replace_each(
        document, lambda layer: [layer, dict(added)] if layer["type"] in {*ACTIVATIONS, "RNN"} else [layer]
    )


def before_activations(document: Document, added: Layer) -> Document:
    """Return the spec with a layer before each hidden activation."""
    return replace_each(document, lambda layer: [dict(added), layer] if layer["type"] in ACTIVATIONS else [layer])


def hidden_layers(document: Document) -> int:
    """Count the hidden layers; 0 where they are not a first one and a `Repeat` of its like."""
    repeat = _repeat(document)
    return 0 if repeat is None else 1 + int(repeat["times"])


def with_hidden_layers(document: Document, count: int) -> Document:
    """Return the spec with so many hidden layers, at least one."""
    if count == 1:
        return replace_each(document, lambda layer: [] if layer["type"] == "Repeat" else [layer])
    return replace_each(document, lambda one: [one | {"times": count - 1}] if one["type"] == "Repeat" else [one])


def with_blocks(document: Document, change: Callable[[Layer], list[Layer]]) -> Document:
    """Return the spec with what stands in for the `Repeat` of hidden layers."""
    return replace_each(document, lambda layer: change(layer) if layer["type"] == "Repeat" else [layer])


def _repeat(document: Document) -> Layer | None:
    return next((layer for layer in document["model"]["layers"] if layer["type"] == "Repeat"), None)


def _replaced(layers: list[Layer], change: Callable[[Layer], list[Layer]]) -> list[Layer]:
    found: list[Layer] = []
    for layer in layers:
        inner = layer | {"layers": _replaced(layer["layers"], change)} if "layers" in layer else layer
        found += change(inner)
    return found
