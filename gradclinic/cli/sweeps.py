"""The command about sweeps: one spec under many values, and the table that compares what came of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from gradclinic.cli.exits import ExitCode, FailOn
from gradclinic.cli.options import AsJson, FailOnOption, Timeout, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.progress import progress_shown
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told, tell
from gradclinic.cli.yaml_text import NotYaml, read_yaml
from gradclinic.client import Client
from gradclinic.contract.combinations import best_first
from gradclinic.contract.job import LIVE
from gradclinic.contract.sweep import Sweep
from gradclinic.report import render_sweep

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Subject = Annotated[
    str,
    typer.Argument(metavar="SPEC|SWEEP", help="A spec in JSON or YAML, - for standard input; or the id of a sweep."),
]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="POINTER=VALUES", help="Values to try, with commas: /optimizer/lr=0.01,0.001"),
]
Waits = Annotated[bool, typer.Option("--wait", help="Wait for all jobs and compare them.")]
Cancels = Annotated[bool, typer.Option("--cancel", help="Ask all jobs of the sweep to stop.")]
Sort = Annotated[Literal["posted", "best"], typer.Option("--sort", help="The order of the rows.")]


@dataclass(frozen=True)
class Ending:
    """What the caller wants to see at the end."""

    timeout: float | None
    fail_on: FailOn
    sort: str
    as_json: bool


def sweep(  # noqa: PLR0913 - each an option of the command
    *,
    subject: Subject,
    values: Values = None,
    wait: Waits = False,
    cancel: Cancels = False,
    timeout: Timeout = None,
    fail_on: FailOnOption = "critical",
    sort: Sort = "posted",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Post a spec under many values, one job a combination; or look at a sweep that was posted."""
    ending = Ending(timeout, fail_on, sort, as_json)
    is_posted = _ID.fullmatch(subject) is not None
    if is_posted and values:
        raise typer.BadParameter(f"{subject} is a sweep already; values are set where a spec is posted.")
    if cancel and not is_posted:
        raise typer.BadParameter("--cancel takes the id of a sweep, and not a spec.")
    with Client(url) as client:
        if is_posted:
            found = client.cancel_sweep(subject) if cancel else client.sweep(subject)
        else:
            found = _post(client, subject, values or ())
        if wait:
            if not is_posted:
                tell(f"sweep {found.id}")
            _wait_and_end(client, found, ending)
        else:
            _print_sweep(found, ending)
            if found.status == "live":
                tell(f"Compare its jobs when they have ended: gradclinic sweep {found.id} --wait")


def _post(client: Client, path: str, set_values: Sequence[str]) -> Sweep:
    source = read_source(path)
    with faults_told(source):
        document = source.load()
        if set_values and isinstance(document, dict):
            given = document.get("sweep")
            document = document | {"sweep": (given if isinstance(given, dict) else {}) | _axes_from(set_values)}
        return client.submit_sweep(document)


def _axes_from(set_values: Sequence[str]) -> dict[str, Any]:
    """Read `POINTER=VALUE,VALUE`; values are written as in YAML, objects and lists as in JSON."""
    axes: dict[str, Any] = {}
    for setting in set_values:
        place, equals, values = setting.partition("=")
        if not equals or not place.startswith("/"):
            raise typer.BadParameter(f"--set {setting}: it has to look like /optimizer/lr=0.01,0.001")
        if place in axes:
            raise typer.BadParameter(f"--set {setting}: {place} is set twice.")
        try:
            axes[place] = read_yaml(f"[{values}]").value
        except NotYaml as error:
            raise typer.BadParameter(f"--set {setting}: the values cannot be read: {error}.") from error
    return axes


def _wait_and_end(client: Client, found: Sweep, ending: Ending) -> None:
    try:
        with progress_shown() as show:

            def show_sweep(now: Sweep) -> None:
                ended = sum(count for status, count in now.jobs.items() if status not in LIVE)
                show("jobs ended", ended, sum(now.jobs.values()))

            found = client.wait_sweep(found.id, ending.timeout, show_sweep)
    except KeyboardInterrupt:
        again = f"gradclinic sweep {found.id}"
        tell(f"The sweep goes on. Wait for it with `{again} --wait`, stop it with `{again} --cancel`.")
        raise
    _print_sweep(found, ending)
    if found.status == "live":
        tell(f"Not finished within {ending.timeout:g} s. The sweep goes on: gradclinic sweep {found.id} --wait")
    raise typer.Exit(_exit_code_of(found, ending.fail_on))


def _exit_code_of(found: Sweep, fail_on: FailOn) -> ExitCode:
    """Return what all jobs together end with: the worst that can be said of one."""
    if found.status == "live":
        return ExitCode.NOT_FINISHED
    if any(row.status != "succeeded" for row in found.rows):
        return ExitCode.NOT_DONE
    sick = {
        "info": any(row.findings for row in found.rows),
        "warning": any(row.health != "healthy" for row in found.rows),
        "critical": any(row.health == "critical" for row in found.rows),
        "never": False,
    }
    return ExitCode.FINDING if sick[fail_on] else ExitCode.HEALTHY_ENOUGH


def _print_sweep(found: Sweep, ending: Ending) -> None:
    if ending.sort == "best":
        found = found.model_copy(update={"rows": best_first(found.rows, found.compared_by)})
    if ending.as_json:
        print_json(found)
    else:
        print_report(render_sweep(found))
