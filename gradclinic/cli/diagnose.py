"""The command that judges a recorded history from a file, without a service and without torch: `diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from gradclinic import diagnosis as judging
from gradclinic.cli.exits import exit_code_of
from gradclinic.cli.options import AsJson, FailOnOption
from gradclinic.cli.printing import print_json, print_report
from gradclinic.history import History
from gradclinic.report import overview_of_history, render_text

HistoryFile = Annotated[
    Path,
    typer.Argument(metavar="HISTORY", help="An Arrow file: what `history.save` or `gradclinic history -o` wrote."),
]


def diagnose(*, history: HistoryFile, fail_on: FailOnOption = "critical", as_json: AsJson = False) -> None:
    """Diagnose a recorded history from an Arrow file, offline. A rule whose signals were not recorded says so."""
    try:
        recorded = History.load(history)
    except OSError as error:
        raise typer.BadParameter(f"{history} cannot be read: {error.strerror or error}.") from error
    diagnosis = judging.diagnose(recorded)
    if as_json:
        print_json({"diagnosis": diagnosis})
    else:
        overview = overview_of_history(recorded)
        print_report(Group("", render_text(None, diagnosis, overview, document={"name": history.name})))
    raise typer.Exit(exit_code_of(diagnosis, fail_on))
