"""Showing how far something is: a bar on a terminal, plain lines elsewhere. Always on the error stream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gradclinic.cli.printing import console_for
from gradclinic.cli.telling import tell
from gradclinic.contract.job import Job

ShowProgress = Callable[[str, int, int], None]
"""Called with what is done now, how many parts of it are done, and how many there are."""

LINES = 4
"""Plain lines between the start and the end of one activity."""


@contextmanager
def progress_shown() -> Iterator[ShowProgress]:
    """Show progress while the block runs; what it yields is called with the news."""
    # Asked directly, because rich believes FORCE_COLOR that a log file is a terminal.
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console_for(sys.stderr), transient=True) as progress:
        task = progress.add_task("waiting", total=1)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield show


def show_job(show: ShowProgress, job: Job) -> None:
    """Pass on where a job is."""
    progress = job.progress
    match job.status:
        case "verifying":
            show("verifying fixes", progress.trials, progress.trials_planned)
        case "queued":
            show("queued, waiting for a worker", progress.step, progress.steps)
        case _:
            show(job.status, progress.step, progress.steps)


def _plain_lines() -> ShowProgress:
    said: tuple[str, int] | None = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal said
        now = (what, done * LINES // max(total, 1))
        if now != said:
            said = now
            tell(f"{what}: {done} of {total}")

    return show
