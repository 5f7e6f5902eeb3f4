"""What working out the shapes of some layers gave: the shape that comes out, what each posted layer takes, the faults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gradclinic.contract.layers import AnyLayer
from gradclinic.errors import Fault
from gradclinic.graph import GraphLayer
from gradclinic.model.place import Place
from gradclinic.model.sample import Sample, Shape


@dataclass(frozen=True)
class Entry:
    """One posted layer over all its turns, its shapes those of the first turn.

    `parameters` and `trained` count numbers, `tensors` counts parameters; `flops` are those of a forward pass on one
    batch, `held` the numbers kept of one sample for the backward pass, `calls` the operators called one after the other.
    `watched` is how often its output can be recorded.
    """

    layer: AnyLayer | GraphLayer
    place: Place
    input: Shape
    output: Shape
    parameters: int = 0
    trained: int = 0
    tensors: int = 0
    flops: int = 0
    held: int = 0
    calls: int = 0
    watched: int = 0
    turns: int = 1

    def and_again(self, other: Entry) -> Entry:
        """Add the same layer in further turns."""
        return replace(
            self,
            parameters=self.parameters + other.parameters,
            trained=self.trained + other.trained,
            tensors=self.tensors + other.tensors,
            flops=self.flops + other.flops,
            held=self.held + other.held,
            calls=self.calls + other.calls,
            watched=self.watched + other.watched,
            turns=self.turns + other.turns,
        )

    def over(self, times: int) -> Entry:
        """Return the same layer in so many times the turns."""
        return replace(
            self,
            parameters=self.parameters * times,
            trained=self.trained * times,
            tensors=self.tensors * times,
            flops=self.flops * times,
            held=self.held * times,
            calls=self.calls * times,
            watched=self.watched * times,
            turns=self.turns * times,
        )


@dataclass(frozen=True)
class Resolution:
    """The `output` (None where a fault hides it), the entries and the faults by JSON pointer, in spec order.

    One fault a pointer: the turns of a `Repeat` share theirs, and the first one tells.
    """

    output: Sample | None
    entries: dict[str, Entry] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)

    def over(self, times: int) -> Resolution:
        """Return the same layers in so many times the turns."""
        if times == 1:
            return self
        return replace(self, entries={pointer: entry.over(times) for pointer, entry in self.entries.items()})


def joined(output: Sample | None, parts: Iterable[Resolution]) -> Resolution:
    """Join the resolutions of several layers, or of several turns of the same ones, into one with `output`."""
    entries: dict[str, Entry] = {}
    faults: dict[str, Fault] = {}
    for part in parts:
        for pointer, entry in part.entries.items():
            entries[pointer] = entries[pointer].and_again(entry) if pointer in entries else entry
        for pointer, fault in part.faults.items():
            faults.setdefault(pointer, fault)
    return Resolution(output, entries, faults)


def alone(entry: Entry, output: Sample | None) -> Resolution:
    """Return the resolution of one layer that is right, or of a combinator beside what it holds."""
    return Resolution(output, {entry.place.pointer: entry})


def shape_of(output: Sample | None) -> Shape:
    """Return the shape to note down of an output; () where a fault hides it, and nothing is noted down in the end."""
    return output.shape if output is not None else ()
