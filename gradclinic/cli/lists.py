"""The commands that list: the jobs of a service, and the runs of a job."""

from __future__ import annotations

from typing import Annotated

import typer

from gradclinic.cli.options import AsJson, JobId, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import tell
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import JobStatus
from gradclinic.report.lists import render_jobs, render_runs

Status = Annotated[JobStatus | None, typer.Option("--status", help="Only jobs with this status.")]
OfHealth = Annotated[Health | None, typer.Option("--health", help="Only jobs with this health.")]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only jobs with this name.")]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY:VALUE", help="Only jobs with this label; all of several."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="Jobs a page.")]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the page before ended.")]


def jobs(  # noqa: PLR0913 - the filters of the HTTP call, each an option
    *,
    status: Status = None,
    health: OfHealth = None,
    name: Name = None,
    label: Label = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a service, newest first."""
    labels = dict(_key_and_value(given) for given in label or ())
    with Client(url) as client:
        page = client.jobs(status=status, health=health, labels=labels, name=name, cursor=cursor, limit=limit)
    if as_json:
        print_json(page)
        return
    print_report(render_jobs(page.items))
    if page.next_cursor is not None:
        tell(f"There are more: the same with --cursor {page.next_cursor}", on_one_line=True)


def runs(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """List the runs of a job: the baseline, and the trials of its fixes."""
    with Client(url) as client:
        found = client.runs(job_id)
    if as_json:
        print_json({"items": found, "next_cursor": None})
    else:
        print_report(render_runs(found))


def _key_and_value(label: str) -> tuple[str, str]:
    key, colon, value = label.partition(":")
    if not colon:
        raise typer.BadParameter(f"{label!r} is no label. It has to look like team:vision.", param_hint="--label")
    return key, value
