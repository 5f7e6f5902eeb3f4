"""Showing how far something is: a bar on a terminal, plain lines elsewhere. Always on the error stream."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradclinic.cli.printing import console_for
from gradclinic.cli.telling import tell
from gradclinic.contract.job import LIVE, EarlyFinding, Job
from gradclinic.report.findings import STYLES
from gradclinic.report.writing import foreign

LINES = 4
"""Plain lines between the start and the end of one activity."""


class ShowProgress(ABC):
    """Called with what is done now, how many parts of it are done, and how many there are."""

    def __init__(self) -> None:
        self._found: list[EarlyFinding] = []

    @abstractmethod
    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far it is."""

    @abstractmethod
    def say(self, line: Text) -> None:
        """Say a line that stays."""

    def show_findings(self, findings: Sequence[EarlyFinding]) -> None:
        """Say what is certain while it goes on, each once; of a training that began anew, once more."""
        if self._found != list(findings[: len(self._found)]):
            self._found = []
        for finding in findings[len(self._found) :]:
            severity = (finding.severity, f"bold {STYLES[finding.severity]}")
            certain = f"certain at step {finding.step}: "
            self.say(Text.assemble(severity, f" {finding.rule}, {certain}", foreign(finding.summary)))
        self._found = list(findings)


@contextmanager
def progress_shown() -> Iterator[ShowProgress]:
    """Show progress while the block runs; what it yields is called with the news."""
    # Asked directly, because rich believes FORCE_COLOR that a log file is a terminal.
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console_for(sys.stderr), transient=True) as progress:
        yield _Bar(progress)


def show_job(show: ShowProgress, job: Job) -> None:
    """Pass on where a job is."""
    progress = job.progress
    if job.status in LIVE:  # what is found at the end the report tells
        show.show_findings(progress.findings)
    match job.status:
        case "verifying":
            show("verifying fixes", progress.trials, progress.trials_planned)
        case "queued":
            show("queued, waiting for a worker", progress.step, progress.steps)
        case _:
            show(job.status, progress.step, progress.steps)


class _Bar(ShowProgress):
    """A bar on a terminal; what is said stands above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("waiting", total=1)

    def __call__(self, what: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=what, completed=done, total=total)

    def say(self, line: Text) -> None:
        self._progress.console.print(line)


class _PlainLines(ShowProgress):
    """A few lines for each activity."""

    def __init__(self) -> None:
        super().__init__()
        self._said: tuple[str, int] | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        now = (what, done * LINES // max(total, 1))
        if now != self._said:
            self._said = now
            tell(f"{what}: {done} of {total}")

    def say(self, line: Text) -> None:
        console_for(sys.stderr).print(line)
