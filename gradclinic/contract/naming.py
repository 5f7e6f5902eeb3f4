"""How a layer is called: by its `name`, or by its place in the posted spec.

`layers.2[7].layers.0` is `/model/layers/2/layers/0` in the eighth turn of the `Repeat` at `/model/layers/2`. A `name`
replaces the last part of the place only.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

LayerName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$",
        max_length=64,
        description="A name of your own, unique among the layer's siblings.",
    ),
]

_TURN = re.compile(r"\[\d+\]")


def without_turns(layer: str) -> str:
    """Return the layer's name with the turns of its `Repeat`s left out: the same for every turn.

    >>> without_turns("layers.2[7].layers.0")
    'layers.2.layers.0'
    """
    return _TURN.sub("", layer)


def escape(key: str) -> str:
    """Escape one key of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def pointer(*keys: str | int) -> str:
    """Join keys into a JSON pointer: `pointer("model", "layers", 0)` is `/model/layers/0`."""
    return "".join(f"/{escape(str(key))}" for key in keys)


def keys_of(place: str) -> list[str]:
    """Take a JSON pointer apart: `keys_of("/model/layers/0")` is `["model", "layers", "0"]`."""
    return [key.replace("~1", "/").replace("~0", "~") for key in place.split("/")[1:]]


def is_storable_text(text: str) -> bool:
    """Say whether every database and every UTF-8 file can hold a text: no U+0000, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
