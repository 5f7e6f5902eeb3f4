"""The command that judges a history which is there: from a file, without a service and without torch, or of a stored run by
other thresholds.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from gradclinic import diagnosis as judging
from gradclinic.cli.exits import exit_code_of
from gradclinic.cli.options import AsJson, FailOnOption, Url
from gradclinic.cli.overviews import read_overview
from gradclinic.cli.printing import print_json, print_report
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.errors import InvalidSpec
from gradclinic.history import History
from gradclinic.report import Overview, overview_of_history, render_text

HistoryFile = Annotated[
    Path | None,
    typer.Argument(metavar="HISTORY", help="An Arrow file: what `history.save` or `gradclinic history -o` wrote."),
]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="ID", help="A run that the service keeps, in place of a file.")
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option("--threshold", metavar="NAME=NUMBER", help="Judge by another threshold; can be repeated."),
]


def diagnose(  # noqa: PLR0913 - the choices of the command, each an option
    *,
    history: HistoryFile = None,
    run: RunOption = None,
    threshold: ThresholdOption = None,
    fail_on: FailOnOption = "critical",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Diagnose a recorded history: an Arrow file, offline, or with --run one that the service keeps. Nothing is trained."""
    thresholds = _read_thresholds(threshold or [])
    if (history is None) == (run is None):
        raise typer.BadParameter("Give an Arrow file, or --run with the id of a run.")
    if history is not None:
        diagnosis, overview, name = *_judge_file(history, thresholds), history.name
    else:
        name = str(run)
        with Client(url) as client:
            diagnosis = client.judge_run(name, thresholds)
            overview = Overview() if as_json else read_overview(client, name)
    if as_json:
        print_json({"diagnosis": diagnosis})
    else:
        print_report(Group("", render_text(None, diagnosis, overview, document={"name": name})))
    raise typer.Exit(exit_code_of(diagnosis, fail_on))


def _judge_file(path: Path, thresholds: dict[str, float]) -> tuple[Diagnosis, Overview]:
    if faults := judging.check_thresholds(thresholds):
        raise InvalidSpec(faults)
    try:
        recorded = History.load(path)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror or error}.") from error
    return judging.diagnose(recorded, thresholds), overview_of_history(recorded)


def _read_thresholds(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            found[name.strip()] = math.nan
        if not math.isfinite(found[name.strip()]):
            raise typer.BadParameter(f"{text!r} is no threshold; write it as vanishing_gain=0.001.")
    return found
