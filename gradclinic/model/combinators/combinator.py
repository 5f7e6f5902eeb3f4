"""What a combinator is made of. Adding one is a file beside this one, and one line in the table of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradclinic.contract.layers import Layers
from gradclinic.model.network import Chain
from gradclinic.model.place import Place
from gradclinic.model.resolution import Resolution
from gradclinic.model.sample import Sample

CountLayers = Callable[[Layers], int]
"""Counts layers after unrolling."""

ResolveLayers = Callable[[Layers, Place, Sample], Resolution]
"""Works out the shapes of the layers at a place, on an input."""

BuildLayers = Callable[[Layers, Sample], tuple[Chain, Sample]]
"""Builds layers for an input; returns what comes out, too."""

Built = tuple[dict[str, nn.Module], Sample]
"""The modules of one posted layer by the last part of their names, and what comes out."""


@dataclass(frozen=True)
class Combinator:
    """The three things to know about a layer that holds layers; each is given the way to treat those inside.

    `count` says how many layers it is after unrolling, by arithmetic alone. `resolve` works out its shapes and faults.
    `build` makes its modules, named from the last part of its own name; only what `resolve` found right is built.
    """

    count: Callable[[Any, CountLayers], int]
    resolve: Callable[[Any, Place, Sample, ResolveLayers], Resolution]
    build: Callable[[Any, str, Sample, BuildLayers], Built]
