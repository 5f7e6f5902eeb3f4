"""Lead the signal around each block, so that the gradient arrives undamped.

When it applies:
    A vanishing gradient in a model with at least two blocks (weights and an activation) in a row, of linear, convolutional or
    recurrent layers.

What it changes:
    The layers that a `Repeat` repeats become a Residual; where its first turn changes the size, that turn is put before
    it, as it is. Elsewhere each layer with weights and what follows it becomes a Residual of its own; where it changes the size, with a
    projection as its shortcut, a linear layer or a convolution of 1. The first block stays as it is. Where many
    blocks would be summed whose activation is unbounded, each gets a normalization in front, which keeps the sum in bounds. The last is
    followed by one, as in residual networks that normalize within their blocks, so that what follows does not get the sum as it is.

What it costs:
    An addition a block; a projection has as many parameters as a linear layer of its sizes.

When it is known not to help:
    Against a gradient that explodes: a sum grows further. Against one that is lost through time, inside a recurrent layer.

Source:
    - He et al. 2016, Deep residual learning for image recognition, arXiv:1512.03385
    - He et al. 2016, Identity mappings in deep residual networks, arXiv:1603.05027
    - De & Smith 2020, Batch normalization biases residual blocks towards the identity function, arXiv:2002.10444
    - Yang & Schoenholz 2017, Mean field residual networks: on the edge of chaos, arXiv:1712.08969
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import Parallel, Repeat, Sequential, type_names
from gradclinic.contract.naming import pointer
from gradclinic.contract.normalization import Normalization
from gradclinic.fixes.blocks import Block, blocks_in, has_road, keeps_shapes, transforms, without_groups
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.normalizer import fitting_normalization
from gradclinic.fixes.patch import Operation
from gradclinic.fixes.posted import (
    CONVOLUTIONS,
    NORMALIZATIONS,
    WEIGHTED,
    Keys,
    Layers,
    Place,
    Posted,
    held_layers,
    output_shape,
)
from gradclinic.fixes.shapes import Known, Shape

KIND: FixKind = "residual"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient",)

MIN_BLOCKS = 2
"""Blocks below which there is no depth that a road around them would shorten."""

MAX_BARE_BLOCKS = 8
"""Blocks up to which the sum stays in bounds without a normalization: each may double its variance.

Measured on digits: 29 blocks of Linear and ReLU after Xavier initialization ended at chance (0.09), with a normalization
in each at an accuracy of 0.95 to 0.98, on two seeds.
"""

ROAD: dict[str, Any] = {"bias": False, "init": {"weight": {"type": "orthogonal_"}}}
"""How a projection starts: as close to the identity as its sizes allow.

Measured on digits: with PyTorch's default, each of whose projections passes on 0.58 of the gradient, eight blocks of Sigmoid of
shrinking widths ended at chance.
"""

NORMALIZATION_NAMES = type_names(Normalization)

BOUNDED = frozenset({"Sigmoid", "Hardsigmoid", "Tanh", "Hardtanh", "Softsign", "ReLU6"})
"""Activations of a bounded range: a block with one adds no more to the sum the larger its input is."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose to wrap all blocks but the first, which fits the data to the model."""
    if is_through_time(finding):
        return []
    bare = _Wrapping(posted)
    bare.wrap_blocks(posted.layers, ("model", "layers"))
    if bare.blocks < MIN_BLOCKS:
        return []
    wrapping = bare
    if bare.blocks > MAX_BARE_BLOCKS:
        wrapping = _Wrapping(posted, normalize=True)
        wrapping.wrap_blocks(posted.layers, ("model", "layers"))
    why = (
        f"The gradient has a way around each of the {wrapping.blocks} blocks, along which it is not multiplied by "
        "anything: over depth it then shrinks slowly rather than exponentially."
    )
    title = "Wrap each block in a Residual"
    if wrapping.normalize and any(operation["op"] == "add" for operation in wrapping.operations):
        title, why = (
            f"{title}, and normalise their sum",
            f"{why} A normalization keeps their sum at the scale that the output layer expects.",
        )
    return [Candidate("residual", title, wrapping.operations, why)]


@dataclass
class _Wrapping:
    """Gathers the operations from the back to the front, because each shifts what stands behind it in its list."""

    posted: Posted
    normalize: bool = False
    operations: list[Operation] = field(default_factory=list)
    blocks: int = 0

    def wrap_blocks(self, layers: Layers, keys: Keys) -> None:
        blocks = {block.place.index: block for block in blocks_in(self.posted, layers, keys)}
        for index in reversed(range(len(layers))):
            place = self.posted.places[*keys, index]
            match place.layer:
                case Repeat() as repeat:
                    if not self._wrap_turns(place, repeat):
                        self.wrap_blocks(repeat.layers, (*place.keys, "layers"))
                case Sequential() | Parallel():
                    for where, held in reversed(list(held_layers(place.layer, place.keys))):
                        self.wrap_blocks(held, where)
                case _ if index in blocks:
                    self._wrap_siblings(blocks[index])

    def _wrap_siblings(self, block: Block) -> None:
        """Wrap a layer with weights and what follows it, with a projection where it changes the size."""
        shortcut = None if block.keeps_shapes else self._projection(block)
        is_worth_it = transforms(block.layers) and not has_road(block.layers)
        if not is_worth_it or (shortcut is None and not block.keeps_shapes):
            return
        place, wrapped = block.place, self._residual(block.raw(self.posted), block.layers, block.place)
        if shortcut is not None:
            wrapped["shortcut"] = shortcut
        self._normalize_sum(place, block.layers, block.end)
        for index in reversed(range(place.index + 1, block.end)):
            self.operations.append({"op": "remove", "path": pointer(*block.list_keys, index)})
        self.operations.append({"op": "replace", "path": pointer(*place.keys), "value": wrapped})
        self.blocks += place.turns

    def _projection(self, block: Block) -> list[dict[str, Any]] | None:
        """Return the shortcut of a block that changes the size; None for the first of the model, and where none fits."""
        first = next(place for place in self.posted.places.values() if isinstance(place.layer, WEIGHTED))
        if block.shapes is None or first == block.place:
            return None
        arrived, left = block.shapes
        if isinstance(block.place.layer, CONVOLUTIONS):
            steps = _steps(arrived, left)
            if steps is None:
                return None
            kind = f"Conv{len(steps)}d"
            norms = [{"type": layer.type} for layer in block.layers if layer.type == f"BatchNorm{len(steps)}d"]
            projection = {"type": kind, "out_channels": left[0], "kernel_size": 1, "stride": steps, **ROAD}
            return [projection, *norms[:1]]
        if arrived[:-1] != left[:-1] or not arrived:
            return None
        return [{"type": Linear.__name__, "out_features": left[-1], **ROAD}]

    def _wrap_turns(self, place: Place, repeat: Repeat) -> bool:
        """Wrap the layers of a `Repeat`, if they are one block; say whether that settles it."""
        if has_road(repeat.layers):
            return True
        is_one_block = transforms(repeat.layers) and not any(
            isinstance(layer, Repeat) for layer in without_groups(repeat.layers)
        )
        if place.role != "hidden" or not is_one_block:
            return False
        body = self.posted.raw((*place.keys, "layers"))
        wrapped = {
            "op": "replace",
            "path": pointer(*place.keys, "layers"),
            "value": [self._residual(body, repeat.layers, place)],
        }
        if keeps_shapes(repeat.layers, place.inputs):
            self._normalize_sum(place, repeat.layers, place.index + 1)
            self.operations.append(wrapped)
            self.blocks += place.turns * repeat.times
            return True
        if repeat.times == 1 or not _settles(repeat.layers, place):
            return False
        self._normalize_sum(place, repeat.layers, place.index + 1)
        times = {"op": "replace", "path": pointer(*place.keys, "times"), "value": repeat.times - 1}
        self.operations += [times, wrapped]
        for layer in reversed(first_turn(self.posted, place)):
            self.operations.append({"op": "add", "path": pointer(*place.keys), "value": layer})
        self.blocks += place.turns * (repeat.times - 1)
        return True

    def _residual(self, raw: list[Any], block: Layers, place: Place) -> dict[str, Any]:
        flat = list(without_groups(block))
        normalized = any(isinstance(layer, NORMALIZATIONS) for layer in flat)
        front: list[Any] = []
        if self.normalize and not normalized and not {layer.type for layer in flat} & BOUNDED:
            # From the second turn on it is what the block gives that arrives.
            arriving = output_shape(block, next(iter(place.inputs))) if isinstance(place.layer, Repeat) else None
            front = self._normalization(block, arriving or next(iter(place.inputs)))
        return {"type": "Residual", "layers": [*front, *copy.deepcopy(raw)]}

    def _normalize_sum(self, place: Place, block: Layers, behind: int) -> None:
        """Put a normalization behind the last of the blocks, which is the first that is come to, where they have none of their own."""
        siblings = self.posted.raw(place.keys[:-1])[behind:]
        is_normalized = any(isinstance(layer, NORMALIZATIONS) for layer in without_groups(block))
        is_followed = bool(siblings) and siblings[0]["type"] in NORMALIZATION_NAMES
        if self.operations or place.turns > 1 or is_normalized or is_followed:
            return
        for norm in self._normalization(block, output_shape(block, next(iter(place.inputs)))):
            self.operations.append({"op": "add", "path": pointer(*place.keys[:-1], behind), "value": norm})

    def _normalization(self, block: Layers, shape: Shape) -> list[dict[str, Any]]:
        """Return what normalizes numbers of this shape beside a block, if anything does."""
        weights = next(layer for layer in without_groups(block) if isinstance(layer, WEIGHTED))
        channels = shape[0 if isinstance(weights, CONVOLUTIONS) else -1] if shape else None
        norm = fitting_normalization(self.posted, weights, [shape], channels)
        return [norm] if norm else []


def first_turn(posted: Posted, place: Place) -> list[Any]:
    """Return the layers of a `Repeat`'s first turn, as a group if their names are taken where they come to stand before it."""
    body = posted.raw((*place.keys, "layers"))
    taken = {sibling.get("name") for sibling in posted.raw(place.keys[:-1])} - {None}
    names = {layer.get("name") for layer in body}
    return [{"type": "Sequential", "layers": copy.deepcopy(body)}] if names & taken else copy.deepcopy(body)


def _steps(arrived: Known, left: Known) -> list[int] | None:
    """Return the stride with which a convolution of 1 makes the sizes of `left`; None where none does."""
    steps = [-(-size // to) for size, to in zip(arrived[1:], left[1:], strict=True)]
    fits = all((size - 1) // step + 1 == to for size, step, to in zip(arrived[1:], steps, left[1:], strict=True))
    return steps if fits else None


def _settles(layers: Layers, place: Place) -> bool:
    """Whether the shape stays from the second turn on, whatever arrives at the first."""
    turns = [(shape, output_shape(layers, shape)) for shape in place.inputs]
    return all(None not in (shape, first) and output_shape(layers, first) == first for shape, first in turns)
