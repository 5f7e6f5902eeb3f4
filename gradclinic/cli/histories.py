"""The command about histories: the pictures of a run's signals, or the numbers themselves."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.overviews import baseline_of, read_overview
from gradclinic.cli.printing import print_json, print_report
from gradclinic.client import Client
from gradclinic.errors import RequestFailed
from gradclinic.report import render_overview

Signals = Annotated[str | None, typer.Option("--signals", help="Only these signals, with commas between them.")]
Layers = Annotated[str | None, typer.Option("--layers", help="Only these layers, with commas between them.")]
Start = Annotated[int | None, typer.Option("--start", min=0, help="From this step on.")]
Stop = Annotated[int | None, typer.Option("--stop", min=0, help="Up to this step, without it.")]
Points = Annotated[
    int | None, typer.Option("--points", min=1, help="Minimum, maximum and mean of so many stretches instead.")
]


def history(  # noqa: PLR0913 - the choices of the HTTP call, each an option
    *,
    id: Annotated[str, typer.Argument(metavar="ID", help="A run, or a job: then its baseline.")],
    signals: Signals = None,
    layers: Layers = None,
    start: Start = None,
    stop: Stop = None,
    points: Points = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Draw a run's loss and gradients; with --json, print the recorded numbers."""
    with Client(url) as client:
        run_id = _run_of(client, id)
        if as_json:
            wanted = {"signals": _listed(signals), "layers": _listed(layers)}
            print_json(_as_json(client.history(run_id, **wanted, start=start, stop=stop, points=points)))
            return
        chosen = {"signals": signals, "layers": layers, "start": start, "stop": stop, "points": points}
        if given := [f"--{name}" for name, value in chosen.items() if value is not None]:
            raise typer.BadParameter(
                "The picture shows the loss and the gradients of all layers. For the numbers of a part, add --json.",
                param_hint=", ".join(given),
            )
        overview = read_overview(client, run_id)
    print_report(render_overview(overview))


def _run_of(client: Client, id: str) -> str:
    """Return the run that an id of a run or of a job means."""
    try:
        return client.run(id).id
    except RequestFailed as error:
        if error.status != 404:
            raise
    return baseline_of(client, id).id


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",")]


def _as_json(value: Any) -> Any:
    """Put the wire's words back where JSON has no number: NaN, Infinity, -Infinity."""
    match value:
        case dict():
            return {key: _as_json(inner) for key, inner in value.items()}
        case list():
            return [_as_json(inner) for inner in value]
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case _:
            return value
