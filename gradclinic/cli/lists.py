"""The commands that list: the jobs of a service, and its runs."""

from __future__ import annotations

from typing import Annotated

import typer

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import tell
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import JobStatus, Page, Run, RunKind, RunStatus
from gradclinic.report.lists import render_jobs, render_runs

Status = Annotated[JobStatus | None, typer.Option("--status", help="Only jobs with this status.")]
OfHealth = Annotated[Health | None, typer.Option("--health", help="Only jobs with this health.")]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only jobs with this name.")]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY:VALUE", help="Only jobs with this label; all of several."),
]
Kind = Annotated[RunKind | None, typer.Option("--kind", help="Only runs of this kind.")]
RunStatusOption = Annotated[RunStatus | None, typer.Option("--status", help="Only runs with this status.")]
RunName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Only runs with this name, their own or their job's.")
]
RunLabel = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY:VALUE", help="Only runs with this label; all of several."),
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
    labels = labels_from(label)
    with Client(url) as client:
        page = client.jobs(status=status, health=health, labels=labels, name=name, cursor=cursor, limit=limit)
    if as_json:
        print_json(page)
        return
    print_report(render_jobs(page.items))
    if page.next_cursor is not None:
        tell(f"There are more: the same with --cursor {page.next_cursor}", on_one_line=True)


def runs(  # noqa: PLR0913 - the filters of the HTTP call, each an option
    *,
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only the runs of this job.")] = None,
    kind: Kind = None,
    status: RunStatusOption = None,
    name: RunName = None,
    label: RunLabel = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Runs a page.")] = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a job, or those of a service: baselines, trials of fixes, and external ones."""
    filters = {"--kind": kind, "--status": status, "--name": name, "--label": label, "--cursor": cursor}
    if job_id is not None and (given := [option for option, value in filters.items() if value is not None]):
        raise typer.BadParameter("A job has few runs, and all of them are listed.", param_hint=", ".join(given))
    with Client(url) as client:
        if job_id is not None:
            page = Page[Run](items=client.runs(job_id), next_cursor=None)
        else:
            page = client.list_runs(
                kind=kind, status=status, labels=labels_from(label), name=name, cursor=cursor, limit=limit
            )
    if as_json:
        print_json(page)
        return
    print_report(render_runs(page.items))
    if page.next_cursor is not None:
        tell(f"There are more: the same with --cursor {page.next_cursor}", on_one_line=True)


def labels_from(given: list[str] | None) -> dict[str, str]:
    """Take labels apart, each given as `key:value`."""
    return dict(_key_and_value(label) for label in given or ())


def _key_and_value(label: str) -> tuple[str, str]:
    key, colon, value = label.partition(":")
    if not colon:
        raise typer.BadParameter(f"{label!r} is no label. It has to look like team:vision.", param_hint="--label")
    return key, value
