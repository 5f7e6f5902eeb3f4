"""The command that sends a recorded history to a service: `upload`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from gradclinic.cli.exits import ExitCode, exit_code_of
from gradclinic.cli.lists import labels_from
from gradclinic.cli.options import AsJson, FailOnOption, Url
from gradclinic.cli.overviews import read_overview
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import tell
from gradclinic.client import Client
from gradclinic.client.unsent import is_unsent_file
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Run
from gradclinic.errors import RequestFailed
from gradclinic.history import History
from gradclinic.report import render_text

FilePath = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="What `history.save` wrote, or the file where a stream left what was not sent."
    ),
]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call the run.")]
Label = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY:VALUE", help="A label of the run; several are possible.")
]


def upload(  # noqa: PLR0913 - each an option of the command
    *,
    file: FilePath,
    name: Name = None,
    label: Label = None,
    fail_on: FailOnOption = "critical",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have a recorded history judged and kept by a service, and print its diagnosis."""
    with Client(url) as client:
        try:
            run = _upload(client, file, name, label)
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror or error}.") from error
        diagnosis = _find_diagnosis(client, run)
        if as_json:
            print_json({"run": run, "diagnosis": diagnosis})
        elif diagnosis is not None:
            overview = read_overview(client, run.id)
            print_report(Group("", render_text(None, diagnosis, overview, document={"name": run.name})))
    if diagnosis is None:
        tell(f"Nothing was recorded of run {run.id} that could be judged.")
        raise typer.Exit(ExitCode.NOT_DONE)
    if not as_json:
        print_report(Text(f"run {run.id}"))
    raise typer.Exit(exit_code_of(diagnosis, fail_on))


def _upload(client: Client, file: Path, name: str | None, label: list[str] | None) -> Run:
    if not is_unsent_file(file):
        return client.upload(History.load(file), name=name, labels=labels_from(label))
    if name is not None or label:
        raise typer.BadParameter("This file is the rest of a run that has its name and its labels already.")
    return client.upload_unsent(file)


def _find_diagnosis(client: Client, run: Run) -> Diagnosis | None:
    try:
        return client.run_diagnosis(run.id)
    except RequestFailed as error:
        if error.problem.get("code") == "no_diagnosis":
            return None
        raise
