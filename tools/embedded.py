"""Running the embedded system as a process of its own, for the demonstration and the benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradclinic.client import Client

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90
"""A first start on a slow disk reads several hundred megabytes of torch; a usual one takes a few seconds."""
STOP_SECONDS = 30
"""More than the service gives its requests and its worker to end."""
LOG_LINES = 30


class SystemFailed(Exception):
    """The system did not start; the message has its last words."""


@contextmanager
def embedded_system(folder: Path) -> Iterator[str]:
    """Run `python -m service --with-worker` with its data in `folder`; yields its URL once it is ready.

    No setting of this environment reaches it: it is the embedded default. It is stopped in the end, and with it
    whatever it started.

    Raises:
        SystemFailed: It ended while it started, or was not ready after `START_SECONDS`.
    """
    with running_service(folder, "--with-worker") as url:
        yield url


@contextmanager
def running_service(folder: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """Run `python -m service` with these arguments, its data in `folder` and no settings but these.

    Raises:
        SystemFailed: It ended while it started, or was not ready after `START_SECONDS`.
    """
    port = _free_port()
    log = folder / "service.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GRADCLINIC_")}
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this process alone, which then stops the others in good order.
        system = subprocess.Popen(
            [sys.executable, "-m", "service", *arguments, "--port", str(port)],
            cwd=ROOT,
            env={**environment, "GRADCLINIC_DATA_DIR": str(folder), **settings},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(system, url, log)
        yield url
    finally:
        _stop(system)


def _wait_until_ready(system: subprocess.Popen[bytes], url: str, log: Path) -> None:
    began = time.monotonic()
    with Client(url, timeout=5) as client:
        while not client.is_ready():
            if system.poll() is not None:
                raise SystemFailed(f"the service ended with {system.returncode} while it started.\n{_tail(log)}")
            if time.monotonic() - began > START_SECONDS:
                raise SystemFailed(f"the service was not ready after {START_SECONDS} s.\n{_tail(log)}")
            time.sleep(0.1)


def _stop(system: subprocess.Popen[bytes]) -> None:
    """Ask the system to end, and kill what is left of its session after a while; at once on a second Ctrl-C."""
    try:
        if system.poll() is None:
            system.terminate()
            with suppress(subprocess.TimeoutExpired):
                system.wait(STOP_SECONDS)
    finally:
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
