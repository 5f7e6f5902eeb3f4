"""The demonstration behind `make demo`: the embedded system, an ill training and a healthy one, over HTTP.

Starts `python -m service --with-worker` on a free port with a data folder of its own, submits the examples through the
command line, checks the answers, writes a report, and stops what it started, also on Ctrl-C. Ends with 0 only if
everything went as it should.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "var" / "demo" / "report.txt"
START_SECONDS = 90
"""A first start on a slow disk reads several hundred megabytes of torch; a usual one takes a few seconds."""
STOP_SECONDS = 30
"""More than the service gives its requests and its worker to end."""
JOB_SECONDS = 120
LOG_LINES = 30

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
    except (DemoFailed, GradclinicError) as error:
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
    """Run service and worker with their data in `folder`, and stop them in the end; yields the service's URL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "service.log"
    command = [sys.executable, "-m", "service", "--with-worker", "--port", str(port)]
    console.print(Rule("Starting the embedded system", align="left"))
    _print_command(command)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this process alone, which then stops the others in good order.
        system = subprocess.Popen(
            command, cwd=ROOT, env=_environment(folder), stdout=output, stderr=output, start_new_session=True
        )
    try:
        with console.status("waiting until it is ready"):
            waited = _wait_until_ready(system, url, log)
        console.print(f"ready at {url} after {waited:.1f} s; its SQLite database and its log are in {folder}\n")
        yield url
    finally:
        _stop(system)


def _environment(folder: Path) -> dict[str, str]:
    """Return this environment without settings of ours: the demo shows the embedded default."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GRADCLINIC_")}
    return {**kept, "GRADCLINIC_DATA_DIR": str(folder)}


def _wait_until_ready(system: subprocess.Popen[bytes], url: str, log: Path) -> float:
    began = time.monotonic()
    with Client(url, timeout=5) as client:
        while not client.is_ready():
            if system.poll() is not None:
                raise DemoFailed(f"the service ended with {system.returncode} while it started.\n{_tail(log)}")
            if time.monotonic() - began > START_SECONDS:
                raise DemoFailed(f"the service was not ready after {START_SECONDS} s.\n{_tail(log)}")
            time.sleep(0.1)
    return time.monotonic() - began


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
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if ended != exit_code:
        raise DemoFailed(f"gradclinic submit {name} ended with {ended}; {exit_code} was expected.")
    console.print(f"(exit code {ended})\n", style="dim")
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


def _stop(system: subprocess.Popen[bytes]) -> None:
    """Ask the system to end, and end what is left of its session after a while. Cannot be interrupted."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    if system.poll() is None:
        system.terminate()
        try:
            with console.status("stopping it"):
                system.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            console.print(f"The system did not stop within {STOP_SECONDS} s and is killed.", style="yellow")
    with suppress(ProcessLookupError):  # the usual case: nothing is left
        os.killpg(system.pid, signal.SIGKILL)  # its own session alone: nothing that somebody else started
    system.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(["Its last words:", *lines[-LOG_LINES:]])


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
