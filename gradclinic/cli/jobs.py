"""The commands about one job of a service: submit, wait, show, cancel, delete; `apply` stands beside (`fixed.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import typer
from rich.console import Group

from gradclinic.cli.exits import ExitCode, FailOn, exit_code_of
from gradclinic.cli.options import AsJson, FailOnOption, JobId, SpecPath, Timeout, Url, Wait
from gradclinic.cli.overviews import baseline_of, read_overview
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.problems import problem_of_job
from gradclinic.cli.progress import progress_shown, show_job
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told, tell
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import LIVE, Job
from gradclinic.errors import RequestFailed
from gradclinic.report import render_job, render_text


@dataclass(frozen=True)
class Ending:
    """What the caller of a command that waits wants to see at its end."""

    timeout: float | None
    fail_on: FailOn
    as_json: bool


def submit(  # noqa: PLR0913 - each an option of the command
    *,
    spec: SpecPath,
    wait: Wait = False,
    timeout: Timeout = None,
    fail_on: FailOnOption = "critical",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Post a spec to a service; with --wait, wait for its diagnosis and print it."""
    source = read_source(spec)
    with Client(url) as client:
        with faults_told(source):
            job = client.submit(source.load())
        follow(client, job, Ending(timeout, fail_on, as_json), wait=wait)


def wait(
    *,
    job_id: JobId,
    timeout: Timeout = None,
    fail_on: FailOnOption = "critical",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a job, and print its diagnosis."""
    with Client(url) as client:
        _wait_and_end(client, job_id, Ending(timeout, fail_on, as_json))


def show(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Print a job as it is now, with its diagnosis if there is one."""
    with Client(url) as client:
        _print_job(client, client.job(job_id), as_json=as_json)


def cancel(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Ask a job to stop."""
    with Client(url) as client:
        job = client.cancel(job_id)
    if as_json:
        print_json(job)
    else:
        print_report(render_job(job))


def delete(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Delete an ended job, with its runs and everything that was recorded of it."""
    with Client(url) as client:
        client.delete(job_id)
    if as_json:
        print_json({"id": job_id, "deleted": True})
    else:
        tell(f"Job {job_id} and all that was recorded of it are deleted.")


def follow(client: Client, job: Job, ending: Ending, *, wait: bool) -> None:
    """Go on with a job that was just made: wait for it, or say how to."""
    if wait:
        tell(f"job {job.id}")
        if client.workers_seen() == 0:
            tell(
                "No worker is running, or none was in the last half minute: the job stays queued until one is. "
                "Start one with `python -m worker` where the service runs."
            )
        _wait_and_end(client, job.id, ending)
    elif ending.as_json:
        print_json(job)
    else:
        print_report(render_job(job))
        tell(f"Wait for its diagnosis with: gradclinic wait {job.id}")


def _wait_and_end(client: Client, job_id: str, ending: Ending) -> None:
    try:
        with progress_shown() as show_progress:
            job = client.wait(job_id, ending.timeout, partial(show_job, show_progress))
    except KeyboardInterrupt:
        tell(
            f"The job goes on. Wait for it with `gradclinic wait {job_id}`, stop it with `gradclinic cancel {job_id}`."
        )
        raise
    diagnosis = _print_job(client, job, as_json=ending.as_json, awaited=True)
    if job.status in LIVE:
        tell(f"Not finished within {ending.timeout:g} s. The job goes on: gradclinic wait {job.id}")
        raise typer.Exit(ExitCode.NOT_FINISHED)
    if job.status != "succeeded" or diagnosis is None:
        raise typer.Exit(ExitCode.NOT_DONE)
    raise typer.Exit(exit_code_of(diagnosis, ending.fail_on))


def _print_job(client: Client, job: Job, *, as_json: bool, awaited: bool = False) -> Diagnosis | None:
    """Print a job with its diagnosis; as JSON also as a problem, where the caller waited for one in vain."""
    diagnosis = _find_diagnosis(client, job)
    if as_json:
        in_vain = awaited and (job.status != "succeeded" or diagnosis is None)
        print_json({"job": job, "diagnosis": diagnosis} | (problem_of_job(job) if in_vain else {}))
    elif diagnosis is None:
        print_report(render_job(job))
    else:
        print_report(Group("", render_text(job, diagnosis, read_overview(client, baseline_of(client, job.id).id))))
    return diagnosis


def _find_diagnosis(client: Client, job: Job) -> Diagnosis | None:
    """Read the diagnosis, or None where there is none (yet)."""
    try:
        return client.diagnosis(job.id)
    except RequestFailed as error:
        if error.problem.get("code") in {"diagnosis_not_ready", "no_diagnosis"}:
            return None
        raise
