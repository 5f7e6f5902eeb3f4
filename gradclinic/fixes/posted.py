"""The posted spec as the fixes see it: every layer at its place in the document, with its role and its input shapes.

Shapes are worked out on paper, from the sizes that stand in the spec (`gradclinic.fixes.shapes`). Where a layer does not
take what arrives, or the data is a file that nobody reads here, the shapes behind it are unknown, and a fix that needs
them stays silent. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.convolution import Convolution
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer, Dense, Parallel, Repeat, Residual, Sequential
from gradclinic.contract.normalization import Normalization
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.regularization import Regularization
from gradclinic.contract.sequence import Attention, Recurrent
from gradclinic.contract.spec import GraphModel, JobSpec
from gradclinic.fixes.measured import Measured
from gradclinic.fixes.shapes import Known, Shape, leaf_output, place_of

Keys = tuple[str | int, ...]
"""The keys that lead to a value of the document: `("model", "layers", 2)` is `/model/layers/2`."""

Layers = tuple[AnyLayer, ...]

Role = Literal["hidden", "output", "tail"]
"""`output` is the last layer with weights and whatever holds it, `tail` what follows it and belongs to the loss."""

ACTIVATIONS = get_args(AnyActivation)
NORMALIZATIONS = get_args(Normalization)
REGULARIZATIONS = get_args(Regularization)
CONVOLUTIONS, RECURRENT, ATTENTION = get_args(Convolution), get_args(Recurrent), get_args(Attention)
WEIGHTED = (Linear, *CONVOLUTIONS, *RECURRENT, *ATTENTION)
"""The layers that mix their inputs by weights whose scale matters at the start: all with weights but embeddings and normalizations."""

_MAX_TURNS_TO_SETTLE = 8
"""Turns after which a `Repeat` whose shape still changes counts as unknown; a chain of Linear settles in one."""

_MAX_TURNS_OF_DENSE = 256
"""Likewise for a `Dense`, which grows with every turn."""


@dataclass(frozen=True)
class Place:
    """A layer where it stands in the document.

    `inputs` are the shapes that arrive, over all turns of the `Repeat`s around it; `turns` is how often it is built.
    """

    keys: Keys
    layer: AnyLayer
    role: Role
    inputs: frozenset[Shape]
    turns: int

    @property
    def index(self) -> int:
        """Its place among its siblings."""
        return int(self.keys[-1])

    @property
    def is_in_shortcut(self) -> bool:
        """Whether it stands in the shortcut of a `Residual` rather than on the main road."""
        return "shortcut" in self.keys


@dataclass(frozen=True)
class Posted:
    """A valid spec as posted, parsed, and laid out in forward order; combinators stand before what they hold.

    `output` is the shape of what comes out for one sample.
    """

    document: Mapping[str, Any]
    spec: JobSpec
    places: Mapping[Keys, Place]
    measured: Measured = field(default_factory=Measured)
    output: Shape = None

    @property
    def layers(self) -> Layers:
        """The model's layers; none of a graph, whose inside no patch of a spec can change."""
        return () if isinstance(self.spec.model, GraphModel) else self.spec.model.layers

    @property
    def classes(self) -> int | None:
        """The number of classes asked for; None of a regression, and where nobody knows."""
        raw = self.spec.data.raw_facts()
        return self.measured.classes if raw is None else raw.classes

    def raw(self, keys: Keys) -> Any:
        """Return what stands at these keys of the document, as it was posted."""
        here: Any = self.document
        for key in keys:
            here = here[key]
        return here

    def hidden(self, types: tuple[type, ...]) -> list[Place]:
        """Return the places of these types that stand before the output layer."""
        return [place for place in self.places.values() if place.role == "hidden" and isinstance(place.layer, types)]


def read_posted(document: Mapping[str, Any], measured: Measured | None = None) -> Posted:
    """Lay out a spec; `measured` is what its training told.

    Raises:
        InvalidSpec: The document is not a valid spec.
    """
    spec = parse_spec(document)
    road = _Road()
    raw, known = spec.data.raw_facts(), measured or Measured()
    # What a file holds is not looked up here; whoever trained on it has told.
    arriving = known.input_shape if raw is None else raw.input_shape
    layers = () if isinstance(spec.model, GraphModel) else spec.model.layers
    output = road.follow(layers, ("model", "layers"), arriving, turns=1)
    roles: dict[Keys, Role] = {}
    _mark_end(layers, ("model", "layers"), roles)
    places = {
        keys: Place(keys, layer, roles.get(keys, "hidden"), frozenset(road.inputs[keys]), turns)
        for keys, (layer, turns) in road.layers.items()
    }
    # What is inside a graph, and comes out of it, is not known here.
    return Posted(document, spec, places, known, output if layers else None)


def held_layers(layer: AnyLayer, keys: Keys) -> Iterator[tuple[Keys, Layers]]:
    """Yield the lists of layers that a combinator at `keys` holds, the main road first."""
    if isinstance(layer, Sequential | Repeat | Residual | Dense):
        yield (*keys, "layers"), layer.layers
    if isinstance(layer, Parallel):
        yield from (((*keys, "branches", place), branch) for place, branch in enumerate(layer.branches))
    if isinstance(layer, Residual) and layer.shortcut != "identity":
        yield (*keys, "shortcut"), layer.shortcut


def output_shape(layers: Layers, shape: Shape) -> Shape:
    """Return the shape that `layers` make of one sample of `shape`."""
    return _Road().follow(layers, (), shape, turns=1)


class _Road:
    """Follows a sample through the layers, and notes what arrives where."""

    def __init__(self) -> None:
        self.layers: dict[Keys, tuple[AnyLayer, int]] = {}
        self.inputs: dict[Keys, set[Shape]] = {}
        # Without it, nested Repeats whose first turn changes the shape would double the work a level.
        self._known: dict[tuple[Keys, Shape], Shape] = {}

    def follow(self, layers: Layers, keys: Keys, shape: Shape, turns: int) -> Shape:
        if (keys, shape) in self._known:
            return self._known[keys, shape]
        arrived = shape
        for index, layer in enumerate(layers):
            here = (*keys, index)
            self.layers.setdefault(here, (layer, turns))
            self.inputs.setdefault(here, set()).add(shape)
            shape = self._pass(layer, here, shape, turns)
        self._known[keys, arrived] = shape
        return shape

    def _pass(self, layer: AnyLayer, keys: Keys, shape: Shape, turns: int) -> Shape:
        match layer:
            case Repeat():
                return self._repeat(layer, keys, shape, turns)
            case Dense():
                return self._dense(layer, keys, shape, turns)
            case Sequential() | Residual() | Parallel():
                ends = [self.follow(held, where, shape, turns) for where, held in held_layers(layer, keys)]
                return _joined(layer, ends, shape)
        return leaf_output(layer, shape)

    def _repeat(self, layer: Repeat, keys: Keys, shape: Shape, turns: int) -> Shape:
        for _ in range(min(layer.times, _MAX_TURNS_TO_SETTLE)):
            arrived, shape = shape, self.follow(layer.layers, (*keys, "layers"), shape, turns * layer.times)
            if shape == arrived:
                return shape
        return shape if layer.times <= _MAX_TURNS_TO_SETTLE else None

    def _dense(self, layer: Dense, keys: Keys, shape: Shape, turns: int) -> Shape:
        for _ in range(min(layer.times, _MAX_TURNS_OF_DENSE)):
            added = self.follow(layer.layers, (*keys, "layers"), shape, turns * layer.times)
            shape = _concatenated(layer.dim, [shape, added])
        return shape if layer.times <= _MAX_TURNS_OF_DENSE else None


def _joined(layer: Sequential | Residual | Parallel, ends: list[Shape], arrived: Shape) -> Shape:
    """Return what the ends of a combinator's roads come to; sums take shapes that are alike."""
    if isinstance(layer, Sequential):
        return ends[0]
    if isinstance(layer, Parallel) and layer.merge == "concat":
        return _concatenated(layer.dim, ends)
    roads = {*ends, arrived} if isinstance(layer, Residual) and layer.shortcut == "identity" else {*ends}
    return ends[0] if len(roads) == 1 else None


def _concatenated(dim: int, parts: list[Shape]) -> Shape:
    known: list[Known] = [part for part in parts if part is not None]
    place = place_of(dim, known[0]) if len(known) == len(parts) else None
    if place is None or len({(*part[:place], 0, *part[place + 1 :]) for part in known}) > 1:
        return None
    return (*known[0][:place], sum(part[place] for part in known), *known[0][place + 1 :])


def _mark_end(layers: Layers, keys: Keys, roles: dict[Keys, Role]) -> bool:
    """Mark the output layer and what follows it, from the back; say whether these layers hold it."""
    for index in reversed(range(len(layers))):
        here, layer = (*keys, index), layers[index]
        # Both roads of a Residual are marked, not only up to the first that holds one: each ends in an output of its own.
        holds_output = [_mark_end(held, where, roles) for where, held in held_layers(layer, here)]
        if any(holds_output) or isinstance(layer, WEIGHTED):
            roles[here] = "output"
            return True
        roles[here] = "tail"
    return False
