"""The command that needs no service: a whole job in this process. The one command that needs torch."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Group

from gradclinic.cli.exits import exit_code_of
from gradclinic.cli.options import ArtifactFile, AsJson, FailOnOption, SpecPath, Timeout
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.problems import NotFinished, TorchMissing
from gradclinic.cli.progress import ShowProgress, progress_shown
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import Fault, InvalidSpec, TrainingCancelled
from gradclinic.files import Files
from gradclinic.history import History
from gradclinic.report import overview_of_history, render_text

SHOW_EVERY_SECONDS = 0.1
"""Between two looks at the progress; a step of a small model takes a hundredth of that."""


def run(
    *,
    spec: SpecPath,
    artifact: ArtifactFile = None,
    timeout: Timeout = None,
    fail_on: FailOnOption = "critical",
    as_json: AsJson = False,
) -> None:
    """Train and diagnose a spec in this process, without a service (needs PyTorch)."""
    source, files = read_source(spec), local_files(artifact)
    with faults_told(source):
        document = source.load()
        parsed, resolved = check_spec(document, files)
    try:
        history = _train(parsed, resolved.steps, timeout, files)
    except TrainingCancelled as error:
        raise NotFinished(f"Not finished within {timeout:g} s. {error}") from error
    diagnosis = _diagnose(parsed, document, history, files)
    if as_json:
        print_json({"job": None, "diagnosis": diagnosis})
    else:
        print_report(Group("", render_text(None, diagnosis, overview_of_history(history), document=document)))
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


def _train(spec: JobSpec, steps: int, timeout: float | None, files: Files) -> History:
    with _torch_needed():
        from gradclinic.training import Observer, set_threads, train  # noqa: PLC0415 - likewise

    class Watcher(Observer):
        """Shows the progress, and stops the training when its time is up."""

        def __init__(self, show: ShowProgress) -> None:
            self._show = show
            self._deadline = math.inf if timeout is None else time.monotonic() + timeout
            self._shown_at = -math.inf

        def on_step(self, done: int) -> None:
            now = time.monotonic()
            if now - self._shown_at >= SHOW_EVERY_SECONDS or done == steps:
                self._shown_at = now
                self._show("training", done, steps)

        def should_stop(self) -> bool:
            return time.monotonic() > self._deadline

    set_threads()
    with progress_shown() as show:
        return train(spec, observer=Watcher(show), files=files).history


def _diagnose(spec: JobSpec, document: Any, history: History, files: Files) -> Diagnosis:
    with _torch_needed():
        from gradclinic.training.analysis import analyse  # noqa: PLC0415 - likewise
    return analyse(document, spec, history, files=files)


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
