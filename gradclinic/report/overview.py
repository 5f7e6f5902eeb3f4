"""What people rather look at than read: the loss over the steps, and the gradient by layer.

Made from a history in memory or from the service's JSON of one; draws them with block characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradclinic.history import WHOLE_STEP, History, column_name
from gradclinic.history.overview import make_grid
from gradclinic.report.bars import NO_NUMBER, bar, curve
from gradclinic.report.writing import foreign, number

Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]

SIGNALS = ("grad_norm", "loss")
"""The signals that an overview is made of."""

POINTS = 60
"""Stretches that are enough of a history for one."""

_ROWS = 24
_BAR_WIDTH = 40
_CURVE_WIDTH = 50
_DECADES = 6.0
"""The bars span at least so many powers of ten: gradients of a healthy net that differ by a factor of three have to
look alike. A larger spread stretches them."""


@dataclass(frozen=True)
class Overview:
    """The loss over the steps, and each layer's typical gradient norm: the median over the steps.

    Of a history of more steps than `POINTS`, both are of the means over at most so many stretches of it, however it was
    read; then `stretches` is their number. `ends` are the first and the last loss that were recorded, not means; None where
    they are not known. A gradient is NaN where no step had a finite one.
    """

    loss: Sequence[float | None] = ()
    gradients: Mapping[str, float] = field(default_factory=dict)
    stretches: int | None = None
    ends: tuple[float, float] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every layer has a finite gradient."""
        return all(math.isfinite(size) for size in self.gradients.values())

    def completed_by(self, other: Overview) -> Overview:
        """Take the gradients that are not finite here from another overview, such as one of the first steps alone."""
        known = {layer: size for layer, size in self.gradients.items() if math.isfinite(size)}
        filled = {layer: known.get(layer, other.gradients.get(layer, math.nan)) for layer in self.gradients}
        return replace(self, gradients=filled)

    def ending_with(self, first: Overview, last: Overview) -> Overview:
        """Take the ends from overviews of the first and of the last step alone."""
        return replace(self, ends=(first.ends[0], last.ends[1]) if first.ends and last.ends else None)


def overview_of_history(history: History) -> Overview:
    """Make the overview of a history in memory: the same as of a service's history with `POINTS` points."""
    steps = (history.last_step or 0) + 1
    starts = make_grid(0, steps, POINTS).starts.tolist()
    columns = {
        column_name(subject, signal): _means(table.steps, table.series(subject), starts)
        for signal in SIGNALS
        if (table := history.tables.get(signal)) is not None
        for subject in table.subjects
    }
    losses = history["loss"].series().tolist() if "loss" in history else []
    return replace(_overview(columns, len(starts) if len(starts) < steps else None), ends=_ends(losses))


def overview_of_document(document: Mapping[str, Any]) -> Overview:
    """Make the overview of a history as the client returns it, with or without `points`; with fewer points than steps
    its ends are not known.
    """
    given = document["columns"]
    columns = {name: column["mean"] if isinstance(column, Mapping) else column for name, column in given.items()}
    points = len(document.get("steps", ()))
    has_buckets = any(isinstance(column, Mapping) for column in given.values())
    is_thinned = has_buckets and points < document["stop"] - document["start"]
    overview = _overview(columns, points if is_thinned else None)
    return overview if is_thinned else replace(overview, ends=_ends(overview.loss))


def _means(steps: Steps, values: Floats, starts: Sequence[int]) -> list[float | None]:
    """Return the mean of what was recorded in each stretch; None where nothing was."""
    edges = np.searchsorted(steps, [*starts, np.iinfo(np.int64).max])
    with np.errstate(invalid="ignore", over="ignore"):  # infinities and NaN are results here
        return [float((values[a:b] / (b - a)).sum()) if b > a else None for a, b in pairwise(edges.tolist())]


def _ends(losses: Iterable[float | None]) -> tuple[float, float] | None:
    known = [loss for loss in losses if loss is not None]
    return (known[0], known[-1]) if known else None


def _overview(columns: Mapping[str, Sequence[float | None]], stretches: int | None) -> Overview:
    by_layer: dict[str, list[Sequence[float | None]]] = {}
    for name, values in columns.items():
        parameter, _, signal = name.rpartition("/")
        if signal == "grad_norm" and parameter != WHOLE_STEP:
            by_layer.setdefault(parameter.rpartition(".")[0], []).append(values)
    gradients = {layer: _typical(parameters) for layer, parameters in by_layer.items()}
    return Overview(columns.get("loss", ()), gradients, stretches)


def _typical(parameters: Iterable[Sequence[float | None]]) -> float:
    """Return the median over the steps of the norm of a layer's parameters taken together."""
    norms = [
        math.hypot(*(n for n in step if n is not None)) for step in zip(*parameters, strict=True) if _recorded(step)
    ]
    finite = [norm for norm in norms if math.isfinite(norm)]
    return median(finite) if finite else math.nan


def _recorded(step: Iterable[float | None]) -> bool:
    """Tell whether anything was recorded of a step."""
    return any(value is not None for value in step)


def render_overview(overview: Overview) -> RenderableType:
    """Lay out all pictures, each under its name."""
    parts: list[RenderableType] = []
    if (loss := draw_loss(overview)) is not None:
        parts.append(loss)
    if (gradients := draw_gradients(overview)) is not None:
        parts.append(gradients)
    return Group(*parts) if parts else Text("Nothing is recorded yet of what the pictures show.")


def draw_loss(overview: Overview) -> Text | None:
    """Draw the training loss over the steps; None where none was recorded."""
    known = [value for value in overview.loss if value is not None]
    if len(known) < 2:
        return None
    drawn = Text.assemble(("loss  ", "dim"), (curve(overview.loss, _CURVE_WIDTH), "cyan"))
    drawn.highlight_words([NO_NUMBER], "red")
    if not any(map(math.isfinite, known)):
        return drawn.append("  not finite")
    return drawn if overview.ends is None else drawn.append("  from {} to {}".format(*map(number, overview.ends)))


def draw_gradients(overview: Overview) -> RenderableType | None:
    """Draw the gradient norm by layer, on a logarithmic scale, input first; None where none was recorded."""
    sizes = overview.gradients
    if not sizes:
        return None
    logs = [math.log10(size) for size in sizes.values() if size > 0]
    top = max(logs, default=0.0)
    span = max(top - min(logs, default=0.0), _DECADES)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    shown = _sample(list(sizes))
    for layer in shown:
        size = sizes[layer]
        # The smallest one still gets a sliver; only a gradient that is exactly zero has no bar at all.
        share = (math.log10(size) - top) / span * 0.97 + 1 if size > 0 else 0.0
        table.add_row(foreign(layer), number(size), Text(bar(share, _BAR_WIDTH), _colour(top, size)))
    over = "the steps" if overview.stretches is None else f"the means of {overview.stretches} stretches of steps"
    title = Text(f"gradient norm by layer, input first (median over {over})", "bold underline")
    scale = f"The length is the logarithm; the full width is {span:.0f} powers of ten."
    left_out = f" {len(shown)} of {len(sizes)} layers are shown." if len(shown) < len(sizes) else ""
    return Group(title, Padding.indent(Group(table, Text(scale + left_out, "dim")), 2))


def _colour(top: float, size: float) -> str:
    """Mark what is far below the largest gradient: three powers of ten yellow, six red."""
    below = top - math.log10(size) if size > 0 else math.inf
    return "red" if below >= 6 else "yellow" if below >= 3 else "green"


def _sample(layers: list[str]) -> list[str]:
    """Return at most `_ROWS` layers, evenly from the first to the last."""
    if len(layers) <= _ROWS:
        return layers
    return [layers[round(row * (len(layers) - 1) / (_ROWS - 1))] for row in range(_ROWS)]
