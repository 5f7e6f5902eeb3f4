"""Which part of a history is asked for: signals, layers, a range of steps, and how coarse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

from gradclinic.contract.training import SIGNALS, MetricName
from gradclinic.errors import Fault
from gradclinic.history import History, RunFacts
from service.errors import InvalidParameter
from service.history_form import form_history
from service.query import in_query
from store.histories import read_history
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

    def read(self, reader: Reader, run_id: str) -> History:
        """Read that part of the run's history.

        Raises:
            NotFound: There is no such run.
            InvalidParameter: A signal or a layer that there is not.
        """
        signals = _listed(self.signals)
        with in_query():
            history = read_history(reader, run_id, signals=signals, start=self.start, stop=self.stop)
        if faults := [_unknown_signal(name) for name in signals or () if not _is_signal(name, history)]:
            raise InvalidParameter(faults)
        layers = _listed(self.layers)
        return history if layers is None else _keep_layers(history, layers)

    def write(self, run_id: str, history: History, steps_stored: int) -> str:
        """Write the part that was read as JSON."""
        stop = max(self.start, min(steps_stored, steps_stored if self.stop is None else self.stop))
        form = form_history(run_id, history, self.start, stop, self.points)
        return json.dumps(form, allow_nan=False, separators=(",", ":"))


def answer_query(reader: Reader, run_id: str, asked: HistoryQuery) -> str:
    """Return the part of the run's history that is asked for, as JSON."""
    run = find_run(reader, run_id)
    return asked.write(run_id, asked.read(reader, run_id), run.steps_done)


def _keep_layers(history: History, wanted: Sequence[str]) -> History:
    known = _subjects(history)
    if faults := [_unknown_layer(name, history.facts) for name in wanted if not any(_is_of(k, name) for k in known)]:
        raise InvalidParameter(faults)
    return history.select(subjects=[subject for subject in known if any(_is_of(subject, name) for name in wanted)])


def _is_of(subject: str, layer: str) -> bool:
    return subject == layer or subject.startswith((f"{layer}.", f"{layer}["))


def _subjects(history: History) -> list[str]:
    recorded = [subject for table in history.tables.values() for subject in table.subjects]
    facts = [name for layer in history.facts.layers for name in (layer.name, *layer.parameters)]
    return [name for name in dict.fromkeys(recorded + facts) if name]


def _is_signal(name: str, history: History) -> bool:
    return name in history or name in SIGNALS or name in STEP_SIGNALS


def _unknown_signal(name: str) -> Fault:
    known = ", ".join(dict.fromkeys((*STEP_SIGNALS, *SIGNALS)))
    return Fault("/query/signals", f"There is no signal {name[:80]!r}.", f"some of {known}")


def _unknown_layer(name: str, facts: RunFacts) -> Fault:
    names = [layer.name for layer in facts.layers]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return Fault("/query/layers", f"The run has no layer {name[:80]!r}.", shown or "a layer of the run")


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [name for part in names.split(",") if (name := part.strip())]
