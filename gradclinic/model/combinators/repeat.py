"""`Repeat`: the same layers several times over, each turn with parameters of its own."""

from __future__ import annotations

from gradclinic.contract.layers import Repeat
from gradclinic.model.combinators.combinator import BuildLayers, Built, Combinator, CountLayers, ResolveLayers
from gradclinic.model.network import Group
from gradclinic.model.place import Place, turn_part
from gradclinic.model.resolution import Entry, Resolution, alone, joined, shape_of
from gradclinic.model.sample import Sample


def _count(layer: Repeat, count: CountLayers) -> int:
    return layer.times * count(layer.layers)


def _resolve(layer: Repeat, place: Place, sample: Sample, resolve: ResolveLayers) -> Resolution:
    """Resolve turn after turn; once one keeps the shape, all that are left are like it."""
    turns: list[Resolution] = []
    output: Sample | None = sample
    done = 0
    while done < layer.times and output is not None:
        turn = resolve(layer.layers, place.turn(done).inner("layers"), output)
        alike = layer.times - done if turn.output == output else 1
        turns.append(turn.over(alike))
        output = turn.output
        done += alike
    own = Entry(layer, place, sample.shape, shape_of(output))
    return joined(output, (alone(own, output), *turns))


def _build(layer: Repeat, part: str, sample: Sample, build: BuildLayers) -> Built:
    turns: dict[str, Group] = {}
    output = sample
    for turn in range(layer.times):
        layers, output = build(layer.layers, output)
        turns[turn_part(part, turn)] = Group(layers)
    return dict(turns), output


REPEAT = Combinator(_count, _resolve, _build)
