"""What every layer carries, and the kinds of keywords that many of them share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from gradclinic.contract.base import Size, SpecModel
from gradclinic.contract.initialization import Init
from gradclinic.contract.naming import LayerName


class LayerSpec(SpecModel):
    """What every layer carries."""

    name: LayerName | None = Field(None, description="A name of your own, unique among the layer's siblings.")


class WeightedLayer(LayerSpec):
    """A layer with parameters of its own."""

    init: Init | None = Field(None, description="Replaces the model's `init` for this layer.")
    frozen: bool = Field(False, description="Do not train this layer's parameters.")


def which(one: str, several: str) -> Discriminator:
    """Tell a list from a single value, so that an error speaks of the one that was meant."""
    return Discriminator(lambda value: several if isinstance(value, list | tuple) else one)


def which_or_word(one: str, several: str, word: str) -> Discriminator:
    """Tell a list, a single value and a word apart, likewise."""
    return Discriminator(
        lambda value: several if isinstance(value, list | tuple) else word if isinstance(value, str) else one
    )


Extent = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number that may be 0, such as a padding."""

SizeOrSizes = Annotated[
    Annotated[Size, Tag("size")]
    | Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=4), Tag("sizes")],
    which("size", "sizes"),
]
"""One size, or a list of sizes."""

Size1 = Annotated[
    Annotated[Size, Tag("size")] | Annotated[tuple[Size], Field(strict=False), Tag("sizes")], which("size", "sizes")
]
Size2 = Annotated[
    Annotated[Size, Tag("size")] | Annotated[tuple[Size, Size], Field(strict=False), Tag("sizes")],
    which("size", "sizes"),
]
Size3 = Annotated[
    Annotated[Size, Tag("size")] | Annotated[tuple[Size, Size, Size], Field(strict=False), Tag("sizes")],
    which("size", "sizes"),
]
"""One size for all of so many dimensions, or one for each."""

Extent1 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent], Field(strict=False), Tag("sizes")],
    which("size", "sizes"),
]
Extent2 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent, Extent], Field(strict=False), Tag("sizes")],
    which("size", "sizes"),
]
Extent3 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent, Extent, Extent], Field(strict=False), Tag("sizes")],
    which("size", "sizes"),
]
"""The same, where 0 is possible."""

Side = Annotated[Literal["same", "valid"], Tag("word")]

Padding1 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent], Field(strict=False), Tag("sizes")] | Side,
    which_or_word("size", "sizes", "word"),
]
Padding2 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent, Extent], Field(strict=False), Tag("sizes")] | Side,
    which_or_word("size", "sizes", "word"),
]
Padding3 = Annotated[
    Annotated[Extent, Tag("size")] | Annotated[tuple[Extent, Extent, Extent], Field(strict=False), Tag("sizes")] | Side,
    which_or_word("size", "sizes", "word"),
]
"""What a convolution adds at each side: so many zeros, or as many as keep the size."""
