"""Which part of a history is asked for: signals, layers, a range of steps, and how coarse."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gradclinic.contract.training import SIGNALS
from gradclinic.errors import Fault
from gradclinic.history import RunFacts
from gradclinic.history.check import STEP_SIGNALS
from service.errors import InvalidParameter

MAX_POINTS = 10_000

HistoryFormat = Literal["json", "csv", "arrow"]

_Step = Annotated[int, Field(ge=0, le=2**53)]
_Names = Annotated[str, Field(max_length=20_000)]


class HistoryQuery(BaseModel):
    """The query of a history."""

    model_config = ConfigDict(extra="forbid")

    signals: _Names | None = Field(None, description="Only these signals, comma-separated: `loss,grad_norm`.")
    layers: _Names | None = Field(
        None,
        description="Only the columns of these layers, of the layers inside them, and of their parameters, "
        "comma-separated: `layers.0` gives `layers.0/activation_grad_norm` and `layers.0.weight/grad_norm`, `layers.2` "
        "every turn of that `Repeat`. Columns of the whole step, such as `loss`, are left out then.",
    )
    start: _Step = Field(0, description="First step.")
    stop: _Step | None = Field(None, description="End of the range: the first step that is not in it.")
    points: Annotated[int, Field(ge=1, le=MAX_POINTS)] | None = Field(
        None, description="Minimum, maximum and mean of at most this many buckets instead of every step."
    )
    format: HistoryFormat | None = Field(None, description="The same as `Accept`, for a plain URL.")

    def range_of(self, steps_stored: int) -> tuple[int, int]:
        """Return the range of steps that is asked for, of as many as are stored."""
        stop = steps_stored if self.stop is None else min(self.stop, steps_stored)
        return self.start, max(self.start, stop)

    @property
    def wanted_signals(self) -> list[str] | None:
        """The signals that are asked for; None for all."""
        return _listed(self.signals)

    def refuse_unknown_signals(self, recorded: Collection[str]) -> None:
        """Refuse signals that there are not; one that could have been recorded is none of those.

        Raises:
            InvalidParameter: There are some.
        """
        known = {*recorded, *STEP_SIGNALS, *SIGNALS}
        if faults := [_unknown_signal(name) for name in self.wanted_signals or () if name not in known]:
            raise InvalidParameter(faults)

    def select(self, subjects: Mapping[str, Sequence[str]], facts: RunFacts) -> dict[str, list[str]]:
        """Return the subjects that are asked for, by signal; a signal with none is left out.

        Raises:
            InvalidParameter: A layer that there is not.
        """
        layers = _listed(self.layers)
        if layers is None:
            return {signal: list(names) for signal, names in subjects.items()}
        known = _known_subjects(subjects, facts)
        if faults := [_unknown_layer(n, facts) for n in layers if not any(_is_of(k, n) for k in known)]:
            raise InvalidParameter(faults)
        kept = {subject for subject in known if any(_is_of(subject, name) for name in layers)}
        chosen = {signal: [name for name in names if name in kept] for signal, names in subjects.items()}
        return {signal: names for signal, names in chosen.items() if names}


def _is_of(subject: str, layer: str) -> bool:
    return subject == layer or subject.startswith((f"{layer}.", f"{layer}["))


def _known_subjects(subjects: Mapping[str, Sequence[str]], facts: RunFacts) -> list[str]:
    recorded = [subject for names in subjects.values() for subject in names]
    told = [name for layer in facts.layers for name in (layer.name, *layer.parameters)]
    return [name for name in dict.fromkeys(recorded + told) if name]


def _unknown_signal(name: str) -> Fault:
    known = ", ".join(dict.fromkeys((*STEP_SIGNALS, *SIGNALS)))
    return Fault("/query/signals", f"There is no signal {name[:80]!r}.", f"some of {known}")


def _unknown_layer(name: str, facts: RunFacts) -> Fault:
    names = [layer.name for layer in facts.layers]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return Fault("/query/layers", f"The run has no layer {name[:80]!r}.", shown or "a layer of the run")


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [name for part in names.split(",") if (name := part.strip())]
