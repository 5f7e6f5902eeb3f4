"""Which part of a history is asked for: signals, layers, a range of steps, and how coarse."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

from gradclinic.contract.training import SIGNALS, MetricName
from gradclinic.errors import Fault
from gradclinic.history import RunFacts
from service.errors import InvalidParameter
from service.history_form import NUMBERS_A_BUCKET, bucket_starts, refuse_too_much, write_history
from service.query import in_query
from store.histories import Outline, outline_history, read_history
from store.runs import find_run
from store.transactions import Reader

STEP_SIGNALS = ("loss", "lr", "grad_norm", "clipped", "val_loss", *get_args(MetricName))
"""The signals of the whole step."""

MAX_POINTS = 10_000

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

    def range_of(self, steps_stored: int) -> tuple[int, int]:
        """Return the range of steps that is asked for, of as many as are stored."""
        stop = steps_stored if self.stop is None else min(self.stop, steps_stored)
        return self.start, max(self.start, stop)

    def select(self, outline: Outline) -> dict[str, list[str]]:
        """Return the subjects that are asked for, by signal.

        Raises:
            InvalidParameter: A signal or a layer that there is not.
        """
        if faults := [_unknown_signal(name) for name in _listed(self.signals) or () if not _is_signal(name, outline)]:
            raise InvalidParameter(faults)
        layers = _listed(self.layers)
        if layers is None:
            return {signal: list(extent.subjects) for signal, extent in outline.extents.items()}
        known = _subjects(outline)
        if faults := [_unknown_layer(n, outline.facts) for n in layers if not any(_is_of(k, n) for k in known)]:
            raise InvalidParameter(faults)
        kept = {subject for subject in known if any(_is_of(subject, name) for name in layers)}
        return {signal: [s for s in extent.subjects if s in kept] for signal, extent in outline.extents.items()}


def answer_query(reader: Reader, run_id: str, asked: HistoryQuery) -> str:
    """Return the part of the run's history that is asked for, as JSON.

    Whether it is too much is worked out before any of it is read.

    Raises:
        NotFound: There is no such run.
        InvalidParameter: A signal or a layer that there is not, or too much for one answer.
    """
    run = find_run(reader, run_id)
    start, stop = asked.range_of(run.steps_done)
    with in_query():
        outline = outline_history(reader, run_id, signals=_listed(asked.signals), start=start, stop=stop)
    chosen = asked.select(outline)
    columns = sum(map(len, chosen.values()))
    if asked.points is None:
        refuse_too_much(max((outline.extents[signal].rows for signal in chosen if chosen[signal]), default=0), columns)
    else:
        refuse_too_much(len(bucket_starts(start, stop, asked.points)), columns * NUMBERS_A_BUCKET)
    parts = (
        read_history(reader, run_id, signals=[signal], subjects=subjects, start=start, stop=stop)
        for signal, subjects in chosen.items()
        if subjects
    )
    return write_history(run_id, parts, start, stop, asked.points)


def _is_of(subject: str, layer: str) -> bool:
    return subject == layer or subject.startswith((f"{layer}.", f"{layer}["))


def _subjects(outline: Outline) -> list[str]:
    recorded = [subject for extent in outline.extents.values() for subject in extent.subjects]
    facts = [name for layer in outline.facts.layers for name in (layer.name, *layer.parameters)]
    return [name for name in dict.fromkeys(recorded + facts) if name]


def _is_signal(name: str, outline: Outline) -> bool:
    return name in outline.extents or name in SIGNALS or name in STEP_SIGNALS


def _unknown_signal(name: str) -> Fault:
    known = ", ".join(dict.fromkeys((*STEP_SIGNALS, *SIGNALS)))
    return Fault("/query/signals", f"There is no signal {name[:80]!r}.", f"some of {known}")


def _unknown_layer(name: str, facts: RunFacts) -> Fault:
    names = [layer.name for layer in facts.layers]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return Fault("/query/layers", f"The run has no layer {name[:80]!r}.", shown or "a layer of the run")


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [name for part in names.split(",") if (name := part.strip())]
