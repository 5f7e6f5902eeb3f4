"""A sweep's table as CSV, and which form of it a caller asks for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Header, Query

from gradclinic.contract.combinations import best_first
from gradclinic.contract.sweep import Sweep, SweepRow
from service.negotiation import choose_form

MEDIA_TYPE = "text/csv"

Form = Literal["json", "csv"]
Sort = Literal["posted", "best"]

GivenSort = Annotated[Sort, Query(description="The rows in the order of the product, or the best first.")]

_FORMS: Mapping[Form, str] = {"json": "application/json", "csv": MEDIA_TYPE}


async def asked_form(
    accept: Annotated[str | None, Header(description="`text/csv` asks for the table as CSV.")] = None,
    format: Annotated[Form | None, Query(description="The same as `Accept`, for a plain URL.")] = None,
) -> Form:
    """Return the form to answer in; JSON also where the caller takes neither."""
    return format or choose_form(accept, _FORMS) or "json"


def in_order(sweep: Sweep, sort: Sort) -> Sweep:
    """Return the sweep with its rows in the order that was asked for."""
    if sort == "posted":
        return sweep
    return sweep.model_copy(update={"rows": best_first(sweep.rows, sweep.compared_by)})


def table_of(sweep: Sweep) -> str:
    """Write the table as CSV (RFC 4180): a column a pointer between the combination's number and what came of it.

    What is not known is empty; values that are no plain numbers or texts are JSON; findings stand with spaces between.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    outcome = ("train_loss", "val_loss", "metric_name", "metric")
    writer.writerow(["number", *sweep.sweep, "job", "status", "health", *outcome, "findings", "best"])
    writer.writerows(_cells(row, list(sweep.sweep), sweep.best) for row in sweep.rows)
    return text.getvalue()


def _cells(row: SweepRow, places: list[str], best: str | None) -> list[Any]:
    outcome = row.outcome
    metric = None if outcome is None else outcome.metric
    return [
        row.number,
        *(_written(row.values[place]) for place in places),
        row.job,
        row.status,
        row.health,
        None if outcome is None else outcome.train_loss,
        None if outcome is None else outcome.val_loss,
        None if metric is None else metric.name,
        None if metric is None else metric.value,
        " ".join(row.findings),
        "true" if row.job is not None and row.job == best else "false",
    ]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
