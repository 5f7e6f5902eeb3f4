"""How a sweep is laid out for a terminal: a row a combination, and which is best."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradclinic.contract.sweep import Sweep, SweepRow
from gradclinic.report.findings import STYLES
from gradclinic.report.writing import foreign, number

_MOST = 40
"""Characters of one value; a swept layer is longer than a table has room for."""


def render_sweep(sweep: Sweep) -> RenderableType:
    """Lay out a sweep."""
    counts = ", ".join(f"{count} {status}" for status, count in sweep.jobs.items())
    head = Text.assemble(
        ("sweep ", "dim"), foreign(sweep.id), ("  status ", "dim"), (sweep.status, "bold"), f"  {counts}"
    )
    parts: list[RenderableType] = [head]
    if sweep.name:
        parts.insert(0, foreign(sweep.name, "bold"))
    return Group(*parts, Text(), _render_table(sweep), Text(), _render_best(sweep))


def _render_table(sweep: Sweep) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for place in sweep.sweep:
        table.add_column(foreign(_heading(place, list(sweep.sweep))), overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("health", no_wrap=True)
    for name in ("train loss", "val loss", _metric_name(sweep)):
        table.add_column(foreign(name), justify="right")
    table.add_column("findings", overflow="fold")
    for row in sweep.rows:
        is_best = row.job is not None and row.job == sweep.best
        table.add_row(*_cells(row, list(sweep.sweep)), style="bold" if is_best else "")
    return table


def _cells(row: SweepRow, places: list[str]) -> list[Text]:
    outcome, metric = row.outcome, None if row.outcome is None else row.outcome.metric
    health = Text("") if row.health is None else Text(row.health, STYLES[row.health])
    return [
        Text(str(row.number), "dim"),
        *(foreign(_shown(row.values[place])) for place in places),
        Text(row.status or "deleted"),
        health,
        Text("" if outcome is None else number(outcome.train_loss)),
        Text("" if outcome is None else number(outcome.val_loss)),
        Text("" if metric is None else number(metric.value)),
        Text("\n".join(row.findings)),
    ]


def _render_best(sweep: Sweep) -> RenderableType:
    best = next((row for row in sweep.rows if row.job is not None and row.job == sweep.best), None)
    if best is None:
        return Text("None is best: none is trained yet, or they share nothing that compares them.", "dim")
    values = ", ".join(f"{place} = {_shown(value)}" for place, value in best.values.items())
    by = f" by {sweep.compared_by}" if sweep.compared_by else ""
    so_far = " so far" if sweep.status == "live" else ""
    told = Text.assemble((f"best{by}{so_far}: ", "dim"), foreign(f"{best.number}, {values}", "bold"))
    return Group(told, Text.assemble(("its job ", "dim"), foreign(best.job or "")))


def _heading(place: str, places: list[str]) -> str:
    """Return as much of the end of a pointer as tells it from the others: `lr` of /optimizer/lr."""
    keys = place.split("/")[1:]
    for start in reversed(range(len(keys))):
        end = "/".join(keys[start:])
        if not keys[start].isdecimal() and sum(f"{other}/".endswith(f"/{end}/") for other in places) == 1:
            return end
    return place


def _metric_name(sweep: Sweep) -> str:
    names = {
        row.outcome.metric.name for row in sweep.rows if row.outcome is not None and row.outcome.metric is not None
    }
    return names.pop() if len(names) == 1 else "metric"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
