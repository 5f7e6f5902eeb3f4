"""What a combinator is made of. Adding one is a file beside this one, and one line in the table of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradclinic.contract.layers import Layers
from gradclinic.model.layers import Shape
from gradclinic.model.network import Chain
from gradclinic.model.place import Place
from gradclinic.model.resolution import Resolution

CountLayers = Callable[[Layers], int]
"""Counts layers after unrolling."""

ResolveLayers = Callable[[Layers, Place, Shape], Resolution]
"""Works out the shapes of the layers at a place, on an input of a shape."""

BuildLayers = Callable[[Layers, Shape], tuple[Chain, Shape]]
"""Builds layers for an input of a shape; returns what comes out, too."""

Built = tuple[dict[str, nn.Module], Shape]
"""The modules of one posted layer by the last part of their names, and the shape that comes out."""


@dataclass(frozen=True)
class Combinator:
    """The three things to know about a layer that holds layers; each is given the way to treat those inside.

    `count` says how many layers it is after unrolling, by arithmetic alone. `resolve` works out its shapes and faults.
    `build` makes its modules, named from the last part of its own name; only what `resolve` found right is built.
    """

    count: Callable[[Any, CountLayers], int]
    resolve: Callable[[Any, Place, Shape, ResolveLayers], Resolution]
    build: Callable[[Any, str, Shape, BuildLayers], Built]
