"""The command that needs no service: a whole job in this process. The one command that needs torch."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Group

from gradclinic.cli.exits import ExitCode, exit_code_of
from gradclinic.cli.options import ArtifactFile, AsJson, FailOnOption, SpecPath, Timeout, Verify
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.problems import NotFinished, TorchMissing
from gradclinic.cli.progress import ShowProgress, progress_shown
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told, tell
from gradclinic.contract.job import EarlyFinding
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import Fault, InvalidSpec, TrainingCancelled
from gradclinic.files import Files
from gradclinic.report import overview_of_history, render_text

if TYPE_CHECKING:
    from gradclinic.training.proving import Proven  # needs torch, without which this module has to load

INTERRUPTED = 130
"""What a shell reports of a program that the keyboard ended: 128 and the number of SIGINT."""

SHOW_EVERY_SECONDS = 0.1
"""Between two looks at the progress; a step of a small model takes a hundredth of that."""


def run(  # noqa: PLR0913 - the options of the command
    *,
    spec: SpecPath,
    artifact: ArtifactFile = None,
    timeout: Timeout = None,
    verify: Verify = True,
    fail_on: FailOnOption = "critical",
    as_json: AsJson = False,
) -> None:
    """Train and diagnose a spec in this process, and prove its fixes, without a service (needs PyTorch)."""
    source, files = read_source(spec), local_files(artifact)
    with faults_told(source):
        document = source.load()
        check_spec(document, files)
    posted = document if verify else document | {"verification": {"fixes": 0}}
    try:
        proven = _prove(posted, timeout, files)
    except TrainingCancelled as error:
        raise NotFinished(f"Not finished within {timeout:g} s. {error}") from error
    diagnosis, history = proven.diagnosis, proven.history
    if as_json:
        print_json({"job": None, "diagnosis": diagnosis})
    else:
        print_report(Group("", render_text(None, diagnosis, overview_of_history(history), document=document)))
    if not proven.is_finished:
        # No NotFinished: with --json its problem would be a second document.
        tell("The proof was stopped: the diagnosis stands, the verdicts are those that were settled by then.")
        raise typer.Exit(INTERRUPTED if proven.is_interrupted else ExitCode.NOT_FINISHED)
    raise typer.Exit(exit_code_of(diagnosis, fail_on))


def check_spec(document: Any, files: Files) -> tuple[JobSpec, ResolvedSpec]:
    """Check a spec in this process as a service would: its words, its thresholds, and the shapes of its model.

    Raises:
        InvalidSpec: Something is wrong; `faults` lists every place.
    """
    with _torch_needed():
        from gradclinic.model import check_document  # noqa: PLC0415 - the other commands work without torch
    return check_document(document, files=files)


def local_files(artifact: Path | None = None) -> Files:
    """Return what finds files in this process: data under GRADCLINIC_DATA_ROOT, as in a service, and an artifact by its option.

    Whatever id the spec has, the artifact is that one: a spec that was posted to a service is run here as it is.
    """
    root = os.environ.get("GRADCLINIC_DATA_ROOT")

    def find_artifact(_id: str) -> Path:
        if artifact is None:
            message = "Uploaded artifacts are known to a service alone, not here."
            raise InvalidSpec([Fault("/model/artifact", message, "the artifact's file, given by --artifact FILE")])
        return artifact

    return Files(Path(root) if root else None, artifact_path=find_artifact)


def _prove(document: Any, timeout: float | None, files: Files) -> Proven:
    with _torch_needed():
        from gradclinic.training import EarlyObserver, Observer, set_threads  # noqa: PLC0415 - likewise
        from gradclinic.training.proving import Place, prove  # noqa: PLC0415 - likewise

    deadline = math.inf if timeout is None else time.monotonic() + timeout

    class Watcher(Observer):
        """Shows the progress, and stops the training when the time is up."""

        def __init__(self, show: ShowProgress, what: str) -> None:
            self._show, self._what = show, what
            self._planned = 0
            self._shown_at = -math.inf

        def on_start(self, planned: int) -> None:
            self._planned = planned

        def on_step(self, done: int) -> None:
            now = time.monotonic()
            if now - self._shown_at >= SHOW_EVERY_SECONDS or done == self._planned:
                self._shown_at = now
                self._show(self._what, done, self._planned)

        def should_stop(self) -> bool:
            return time.monotonic() > deadline

    class BaselineWatcher(Watcher, EarlyObserver):
        """Shows also what is certain before the end, and ends there if the spec asks for that."""

        def __init__(self, show: ShowProgress) -> None:
            Watcher.__init__(self, show, "training")
            EarlyObserver.__init__(self, parse_spec(document))

        def on_findings(self, findings: Sequence[EarlyFinding]) -> None:
            self._show.show_findings(findings)

    def watched(place: Place) -> Observer:
        if place.trial is None:
            return BaselineWatcher(show)
        tried = place.trial.fix or "unchanged"
        return Watcher(show, f"trial {place.done + 1} of about {place.planned}: {tried}, seed {place.trial.seed}")

    set_threads()
    with progress_shown() as show:
        return prove(document, watched=watched, files=files)


@contextmanager
def _torch_needed() -> Iterator[None]:
    """Say how to get torch where an import inside finds it missing.

    Raises:
        TorchMissing: It does.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "sklearn"}:
            raise
        raise TorchMissing(
            f"Training in this process needs {error.name}, which is not installed: pip install 'gradclinic[torch]'. "
            "A service can train it instead: gradclinic submit SPEC --wait --url URL"
        ) from error
