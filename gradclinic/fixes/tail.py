"""What stands behind the last layer with weights, and belongs to the loss: its activations, and taking them away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradclinic.contract.activations import LogSoftmax, Softmax
from gradclinic.fixes.edits import Edits
from gradclinic.fixes.patch import Operation
from gradclinic.fixes.posted import ACTIVATIONS, Place, Posted

LOG_SOFTMAX = {"type": "LogSoftmax"}


def activations_after_the_last_layer(posted: Posted) -> list[Place]:
    """Return them in forward order; those that a `Repeat` has between its turns as well are not among them."""
    types = (*ACTIVATIONS, Softmax, LogSoftmax)
    return [
        place
        for place in posted.places.values()
        if place.role == "tail" and place.turns == 1 and isinstance(place.layer, types)
    ]


def remove_layers(posted: Posted, places: Iterable[Place]) -> list[Operation]:
    """Return the operations that take layers away; where nothing would be left of a list, an Identity stays."""
    edits, gone = Edits(), list(places)
    for place in gone:
        siblings = posted.raw(place.keys[:-1])
        leaving = [other for other in gone if other.keys[:-1] == place.keys[:-1]]
        if len(leaving) == len(siblings) and place == leaving[0]:
            edits.replace(place.keys, renamed({"type": "Identity"}, place))
        else:
            edits.remove(place.keys)
    return edits.operations()


def renamed(layer: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return the layer under the name of the one at a place, if that has one."""
    return {**layer} if place.layer.name is None else {**layer, "name": place.layer.name}
