"""The command about histories: the pictures of a run's signals, or the numbers themselves, here or in a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.overviews import baseline_of, read_overview
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import tell
from gradclinic.client import Client
from gradclinic.client.history_calls import HistoryFormat
from gradclinic.errors import RequestFailed
from gradclinic.report import render_overview

Signals = Annotated[str | None, typer.Option("--signals", help="Only these signals, with commas between them.")]
Layers = Annotated[str | None, typer.Option("--layers", help="Only these layers, with commas between them.")]
Start = Annotated[int | None, typer.Option("--start", min=0, help="From this step on.")]
Stop = Annotated[int | None, typer.Option("--stop", min=0, help="Up to this step, without it.")]
Points = Annotated[
    int | None, typer.Option("--points", min=1, help="Minimum, maximum and mean of so many stretches instead.")
]
Format = Annotated[
    HistoryFormat | None, typer.Option("--format", help="The numbers in this form; else --output's ending tells.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the numbers into a file; - prints them.")
]

_FORMAT_OF: dict[str, HistoryFormat] = {".json": "json", ".csv": "csv", ".arrow": "arrow", ".arrows": "arrow"}
_PRINTED = Path("-")


def history(  # noqa: PLR0913 - the choices of the HTTP call, each an option
    *,
    id: Annotated[str, typer.Argument(metavar="ID", help="A run, or a job: then its baseline.")],
    signals: Signals = None,
    layers: Layers = None,
    start: Start = None,
    stop: Stop = None,
    points: Points = None,
    format: Format = None,
    output: Output = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Draw a run's loss and gradients; with --json, --format or --output, give the recorded numbers."""
    chosen = {"signals": signals, "layers": layers, "start": start, "stop": stop, "points": points}
    form = _form_of(format, output, as_json=as_json)
    if form is None and (given := [f"--{name}" for name, value in chosen.items() if value is not None]):
        raise typer.BadParameter(
            "The picture shows the loss and the gradients of all layers. For the numbers of a part, add --json, "
            "--format or --output.",
            param_hint=", ".join(given),
        )
    wanted: dict[str, Any] = chosen | {"signals": _listed(signals), "layers": _listed(layers)}
    with Client(url) as client:
        run_id = _run_of(client, id)
        if form is None:
            print_report(render_overview(read_overview(client, run_id)))
        elif format is None and output is None:
            print_json(_as_json(client.history(run_id, **wanted)))
        else:
            _save(client, run_id, form, output or _PRINTED, wanted)


def _form_of(format: HistoryFormat | None, output: Path | None, *, as_json: bool) -> HistoryFormat | None:
    """Return the form of the numbers; None for pictures."""
    if as_json and format not in {None, "json"}:
        raise typer.BadParameter(f"--json and --format {format} are two forms; give one of them.")
    if as_json or format is not None:
        form = format or "json"
    elif output is None:
        return None
    elif output.suffix.lower() in _FORMAT_OF:
        form = _FORMAT_OF[output.suffix.lower()]
    else:
        raise typer.BadParameter(f"What {output} is to hold does not show in its name; add --format.")
    if form == "arrow" and output in {None, _PRINTED} and sys.stdout.isatty():
        raise typer.BadParameter("Arrow is nothing to read on a terminal; add --output FILE.")
    return form


def _save(client: Client, run_id: str, form: HistoryFormat, output: Path, wanted: dict[str, Any]) -> None:
    written = 0
    try:
        with client.stream_history(run_id, form, **wanted) as pieces, _opened(output) as file:
            for piece in pieces:
                written += file.write(piece)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror or error}.") from error
    if output != _PRINTED:
        tell(f"{written:,} bytes are in {output}.")


@contextmanager
def _opened(output: Path) -> Iterator[IO[bytes]]:
    """Open what the numbers are written to. A file is there when it is whole, and not before."""
    if output == _PRINTED:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = output.with_name(f"{output.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(output)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


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
