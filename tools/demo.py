"""The demonstration behind `make demo`: the embedded system, an ill training and a healthy one, over HTTP.

Starts `python -m service --with-worker` on a free port with a data folder of its own, submits the examples through the
command line, checks the answers, writes a report, and stops what it started, also on Ctrl-C. Ends with 0 only if
everything went as it should.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.rule import Rule

from gradclinic.cli.overviews import baseline_of, read_overview
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Job
from gradclinic.errors import GradclinicError
from gradclinic.report import Overview, render_text
from tools.embedded import ROOT, SystemFailed, embedded_system

REPORT = ROOT / "var" / "demo" / "report.txt"
JOB_SECONDS = 120

console = Console(highlight=False)


class DemoFailed(Exception):
    """Something did not go as it should; the message says what."""


def main() -> int:
    """Run the demonstration; return the exit code."""
    signal.signal(signal.SIGTERM, _end_on_signal)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="gradclinic-demo-") as folder, _system(Path(folder)) as url:
            os.environ["GRADCLINIC_URL"] = url
            with Client(url) as client:
                ill = _submit(client, "deep-sigmoid-digits", exit_code=1)
                _check_ill(ill.diagnosis)
                healthy = _submit(client, "healthy-digits", exit_code=0)
                _check_healthy(healthy.diagnosis)
            _write_report([ill, healthy])
    except (DemoFailed, SystemFailed, GradclinicError) as error:
        console.print(f"The demo failed: {error}", style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started is stopped.", style="yellow")
        return 130
    console.print(f"\nAll went as it should, in {time.monotonic() - began:.0f} s. The report is in {_shown(REPORT)}.")
    console.print("The system and its jobs are gone. To go on by yourself, start one that keeps them:", style="dim")
    _print_command([sys.executable, "-m", "service", "--with-worker"])
    _print_command([*_command_line(), "submit", "examples/deep-sigmoid-digits.json", "--wait"])
    return 0


@contextmanager
def _system(folder: Path) -> Iterator[str]:
    """Run the embedded system in `folder`, and say so; yields the service's URL."""
    console.print(Rule("Starting the embedded system", align="left"))
    _print_command([sys.executable, "-m", "service", "--with-worker"])
    began = time.monotonic()
    with ExitStack() as stack:
        with console.status("waiting until it is ready"):
            url = stack.enter_context(embedded_system(folder))
        waited = time.monotonic() - began
        console.print(f"ready at {url} after {waited:.1f} s; its SQLite database and its log are in {folder}\n")
        yield url


@dataclass(frozen=True)
class Analysis:
    """What the service made of one example."""

    job: Job
    diagnosis: Diagnosis
    overview: Overview


def _submit(client: Client, name: str, *, exit_code: int) -> Analysis:
    """Submit an example as a user would, and read back what the service made of it."""
    console.print(Rule(f"Posting {name}", align="left"))
    command = [*_command_line(), "submit", f"examples/{name}.json", "--wait", "--timeout", str(JOB_SECONDS)]
    _print_command(command)
    if exit_code == 1:
        console.print("It is ill, so exit code 1 is expected: a finding at or above --fail-on.", style="dim")
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if ended != exit_code:
        raise DemoFailed(f"gradclinic submit {name} ended with {ended}; {exit_code} was expected.")
    console.print(f"(exit code {ended}, as expected)\n", style="dim")
    job = client.jobs(name=name, limit=1).items[0]
    return Analysis(job, client.diagnosis(job.id), read_overview(client, baseline_of(client, job.id).id))


def _check_ill(diagnosis: Diagnosis) -> None:
    found = next((finding for finding in diagnosis.findings if finding.rule == "vanishing_gradient"), None)
    if diagnosis.health != "critical" or found is None or not found.layers:
        raise DemoFailed(f"the sigmoid net was found {diagnosis.health}, without a vanishing gradient and its layers.")
    if found.cause is None or found.cause.what != "activation":
        raise DemoFailed("the sigmoid was not named as the cause.")
    if not diagnosis.fixes:
        raise DemoFailed("no fix was proposed for the sigmoid net.")


def _check_healthy(diagnosis: Diagnosis) -> None:
    if diagnosis.health != "healthy":
        raise DemoFailed(f"the healthy net was found {diagnosis.health}.")


def _write_report(analyses: list[Analysis]) -> None:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    with REPORT.open("w", encoding="utf-8") as file:
        paper = Console(file=file, width=100, highlight=False)
        for analysis in analyses:
            paper.print(Rule(analysis.job.name or analysis.job.id, align="left"))
            paper.print(render_text(analysis.job, analysis.diagnosis, analysis.overview))
            paper.print()


def _command_line() -> list[str]:
    """Return how to call gradclinic: by its script where the package is installed."""
    script = Path(sys.executable).with_name("gradclinic")
    return [str(script)] if script.exists() else [sys.executable, "-m", "gradclinic.cli"]


def _print_command(command: list[str]) -> None:
    console.print(f"$ {' '.join(_shown(Path(word)) for word in command)}", style="bold", markup=False, soft_wrap=True)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _end_on_signal(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
