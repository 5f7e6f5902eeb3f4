"""Take fewer layers: as many as the gradient comes through.

When it applies:
    A gradient that vanishes or explodes with depth, by a factor that is known, in a model that repeats blocks.

What it changes:
    The turns of each `Repeat`, and blocks of one shape in a row, to the depth at which a tenth of the gradient still arrives,
    or ten times of it: that of the whole model, scaled by the slope that was recorded. One block stays at least.

What it costs:
    Nothing: it is smaller and faster. What the depth was meant for is given up.

When it is known not to help:
    Where a task needs the depth; it goes around the fault and does not mend it. A gradient that is lost through time.

Source:
    - Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks
    - Schoenholz et al. 2017, Deep information propagation, arXiv:1611.01232 (the depth that signals come through)
"""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.layers import Repeat
from gradclinic.fixes.blocks import Block, blocks_in, lists_of_layers, transforms
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.edits import Edits, keeps_output
from gradclinic.fixes.evidence import evidence_of, is_through_time
from gradclinic.fixes.posted import WEIGHTED, Posted, output_shape

KIND: FixKind = "depth"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient")

BEARABLE = 1.0
"""Decades of the gradient that may be lost or won on the way: trainable networks keep it within a factor of about ten."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the depth that the gradient comes through."""
    gain = evidence_of(finding, "backward_gain")
    depth = sum(place.turns for place in posted.hidden(WEIGHTED) if not place.is_in_shortcut)
    if is_through_time(finding) or not gain or not math.isfinite(gain) or not depth:
        return []
    decades = abs(math.log10(gain))
    share = BEARABLE / decades if decades else 1.0
    if share >= 1:
        return []
    edits = Edits()
    _fewer_turns(posted, share, edits)
    _fewer_blocks(posted, share, edits)
    if not edits or not keeps_output(posted, edits):
        return []
    kept = max(1, math.floor(depth * share))
    why = (
        f"The gradient changes by {decades / depth:.2g} decades a hidden layer with its activation, and comes through about {kept} of these {depth} layers within "
        "a factor of ten. What damps or grows it stays as it is."
    )
    return [
        Candidate(
            "depth",
            f"Take {kept} hidden layer{'s' * (kept != 1)} in place of {depth}, or about so",
            edits.operations(),
            why,
        )
    ]


def _fewer_turns(posted: Posted, share: float, edits: Edits) -> None:
    for place in posted.places.values():
        repeat = place.layer
        if (
            not isinstance(repeat, Repeat)
            or repeat.times == 1
            or place.role != "hidden"
            or _is_repeated_within(place.keys, posted)
        ):
            continue
        # A shape that changes with every turn would be another one behind fewer turns.
        ends = {output_shape((repeat,), shape) for shape in place.inputs}
        fewer = max(1, round(repeat.times * share))
        shorter = repeat.model_copy(update={"times": fewer})
        if fewer < repeat.times and None not in ends and {output_shape((shorter,), s) for s in place.inputs} == ends:
            edits.replace((*place.keys, "times"), fewer)


def _is_repeated_within(keys: tuple[str | int, ...], posted: Posted) -> bool:
    """Whether a `Repeat` is around it, whose turns become fewer already."""
    around = (posted.places.get(keys[:end]) for end in range(3, len(keys)))
    return any(place is not None and isinstance(place.layer, Repeat) for place in around)


def _fewer_blocks(posted: Posted, share: float, edits: Edits) -> None:
    for keys, layers in lists_of_layers(posted):
        if _is_repeated_within((*keys, 0), posted):
            continue
        for run in _runs(list(blocks_in(posted, layers, keys))):
            for block in run[max(1, round(len(run) * share)) :]:
                for index in range(block.place.index, block.end):
                    edits.remove((*block.list_keys, index))


def _runs(blocks: list[Block]) -> list[list[Block]]:
    """Return the blocks that keep their shape and stand side by side."""
    runs: list[list[Block]] = []
    for block in blocks:
        if not (block.keeps_shapes and transforms(block.layers)):
            continue
        if runs and runs[-1][-1].end == block.place.index:
            runs[-1].append(block)
        else:
            runs.append([block])
    return [run for run in runs if len(run) > 1]
