"""Hand the output of each block to all that follow, so that each gets a gradient straight from the end.

When it applies:
    A vanishing gradient in a model with at least three equal blocks (weights and an activation) in a row.

What it changes:
    A `Repeat` of such a block, or so many in a list, becomes a `Dense`: each block gives a quarter of its former width and sees what all
    before it gave. A last block, as wide as before, brings the sum of their widths back to what follows.

What it costs:
    The input of each block grows; of twenty blocks the whole has about as many parameters as before. More memory.

When it is known not to help:
    Against a gradient that explodes, or is lost through time. Hardly better than Residual at the same depth.

Source:
    - Huang, Liu, van der Maaten & Weinberger 2017, Densely connected convolutional networks, arXiv:1608.06993
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import Repeat
from gradclinic.fixes.blocks import Block, blocks_in, lists_of_layers, transforms
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits, keeps_output
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.posted import CONVOLUTIONS, Keys, Posted, output_shape

KIND: FixKind = "dense_connections"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient",)

MIN_BLOCKS = 3
"""Blocks in a row below which there is no depth to be made shorter."""

GROWTH = 4
"""The width over that which each block adds: twenty blocks then have about as many parameters as before, together with the last."""

SIZES = frozenset({"in_features", "in_channels", "num_features", "num_channels", "normalized_shape", "num_groups"})
"""Keys that would have to follow the block's width."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose to connect equal blocks densely."""
    if is_through_time(finding):
        return []
    edits, blocks = Edits(), 0
    for keys, layers in lists_of_layers(posted):
        if _is_inside_what_changes(posted, keys):
            continue
        for index, layer in enumerate(layers):
            if isinstance(layer, Repeat):
                blocks += _connect_turns(posted, (*keys, index), layer, edits)
        for run in _equal_runs(posted, list(blocks_in(posted, layers, keys))):
            blocks += _connect_run(posted, run, edits)
    if not edits or not keeps_output(posted, edits):
        return []
    why = f"Each of the {blocks} blocks gets its gradient straight from the end, over one layer, instead of through all behind it."
    return [Candidate("dense-connections", "Connect equal blocks densely", edits.operations(), why)]


def _is_inside_what_changes(posted: Posted, keys: Keys) -> bool:
    around = (posted.places.get(keys[:end]) for end in range(3, len(keys)))
    return any(place is not None and isinstance(place.layer, Repeat) and _is_one_block(place.layer) for place in around)


def _is_one_block(repeat: Repeat) -> bool:
    """Whether a turn is one layer with weights of a size to be changed, and what goes with it."""
    weights = [layer for layer in repeat.layers if isinstance(layer, (Linear, *CONVOLUTIONS))]
    return (
        repeat.times >= MIN_BLOCKS
        and len(weights) == 1
        and repeat.layers[0] == weights[0]
        and transforms(repeat.layers)
    )


def _connect_turns(posted: Posted, keys: Keys, repeat: Repeat, edits: Edits) -> int:
    place = posted.places[keys]
    ends = [output_shape(repeat.layers, shape) for shape in place.inputs]
    # The shape may change in the first turn only: after that, the block's own width is what arrives.
    settles = all(end is not None and output_shape(repeat.layers, end) == end for end in ends)
    if place.role != "hidden" or not _is_one_block(repeat) or not settles or len(ends) != 1 or ends[0] is None:
        return 0
    made = _dense(posted.raw((*keys, "layers")), repeat.times - 1, len(ends[0]))
    if made is None:
        return 0
    edits.replace(keys, {**made[0], **({"name": repeat.name} if repeat.name else {})})
    # In a group of its own: the names of its layers may be taken beside it.
    edits.insert_after(keys, {"type": "Sequential", "layers": made[1:]})
    return repeat.times - 1


def _connect_run(posted: Posted, run: list[Block], edits: Edits) -> int:
    shapes = run[0].shapes
    made = _dense(run[0].raw(posted), len(run) - 1, len(shapes[1]) if shapes else 0)
    if shapes is None or made is None:
        return 0
    first, *others = run
    edits.replace(first.place.keys, made[0])
    for index in range(first.place.index + 1, first.end):
        edits.remove((*first.list_keys, index))
    for block in others[:-1]:
        for index in range(block.place.index, block.end):
            edits.remove((*block.list_keys, index))
    return len(run) - 1


def _dense(raw: list[Any], times: int, dimensions: int) -> list[Any] | None:
    """Return a Dense of the block at a quarter of its width, and the block itself, which follows it."""
    key = "out_features" if raw[0]["type"] == "Linear" else "out_channels"
    if any(SIZES & layer.keys() for layer in raw) or raw[0].get("groups", 1) != 1:
        return None
    block = copy.deepcopy(raw)
    block[0][key] = max(1, raw[0][key] // GROWTH)
    # Channels are the first dimension behind the batch, features the last.
    dim = dimensions if key == "out_features" else 1
    return [{"type": "Dense", "times": times, "layers": block, "dim": dim}, *copy.deepcopy(raw)]


def _equal_runs(posted: Posted, blocks: list[Block]) -> Iterator[list[Block]]:
    """Yield the blocks side by side that are written alike and keep their shape, but for the first."""
    run: list[Block] = []
    for block in blocks:
        is_next = run and run[-1].end == block.place.index and block.raw(posted) == run[0].raw(posted)
        if not (is_next and block.keeps_shapes):
            if len(run) >= MIN_BLOCKS:
                yield run
            run = []
        if isinstance(block.place.layer, (Linear, *CONVOLUTIONS)) and transforms(block.layers) and block.shapes:
            run.append(block)
    if len(run) >= MIN_BLOCKS:
        yield run
