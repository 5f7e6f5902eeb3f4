"""Lists of jobs and of runs as tables, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import LIVE, Job, Run
from gradclinic.report.findings import STYLES
from gradclinic.report.writing import foreign, number


def render_jobs(jobs: Sequence[Job]) -> RenderableType:
    """Lay out jobs, in the order in which they come."""
    if not jobs:
        return Text("There is no such job.")
    table = _table("job", "created", "status", "health", "name")
    for job in jobs:
        table.add_row(foreign(job.id), _moment(job.created_at), _status(job), _health(job.health), _named(job))
    return table


def render_runs(runs: Sequence[Run]) -> RenderableType:
    """Lay out runs, those of jobs and external ones."""
    if not runs:
        return Text("There is no such run.")
    # Of one job the runs have one name, and differ in what they try.
    is_one_job = len({run.job_id for run in runs}) == 1 and runs[0].job_id is not None
    table = _table("run", "kind", "status", "health", "seed", "steps", "outcome", "tries" if is_one_job else "name")
    for run in runs:
        numbers = ("" if run.seed is None else str(run.seed), str(run.steps_done))
        last = _tried(run) if is_one_job else _named(run)
        table.add_row(foreign(run.id), run.kind, run.status, _health(run.health), *numbers, _outcome(run), last)
    return table


def _table(*columns: str) -> Table:
    """Make a table whose first column, an id to be copied, is never broken."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1], overflow="fold")
    return table


def _moment(moment: datetime) -> str:
    """Write a moment by the clock of this machine: `11-21 10:00`."""
    return f"{moment.astimezone():%m-%d %H:%M}"


def _status(job: Job) -> str:
    done = f" {100 * job.progress.step // max(job.progress.steps, 1)} %" if job.status == "training" else ""
    return f"{job.status}{done}{' (stopping)' if job.cancel_requested and job.status in LIVE else ''}"


def _health(health: Health | None) -> Text:
    return Text("") if health is None else Text(health, STYLES[health])


def _named(one: Job | Run) -> Text:
    text = foreign(one.name or "")
    for key, value in one.labels.items():
        text.append(" " if text else "").append_text(foreign(f"{key}:{value}", "dim"))
    return text


def _tried(run: Run) -> Text:
    return Text("") if run.kind != "trial" else foreign(run.fix or "the unchanged spec")


def _outcome(run: Run) -> Text:
    if run.outcome is None:
        return Text("")
    metric = run.outcome.metric
    if metric is None:
        return Text(f"loss {number(run.outcome.train_loss)}")
    return Text.assemble(foreign(metric.name), f" {number(metric.value)}")
