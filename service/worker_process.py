"""A worker beside the service, as a process of its own: started, watched, started again if it dies, and stopped.

Where the service itself is killed and can stop nothing, the worker ends because its standard input does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

logger = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-m", "worker", "--watch-stdin")

STOP_SECONDS = 15.0
"""How long a worker may take to put its work down; then it is killed, and its job is taken up again later."""

MAX_DEATHS = 3
DEATHS_WITHIN_SECONDS = 60.0
"""A worker that dies more often than that is not started again: something is wrong that a restart does not mend."""

PAUSE_SECONDS = 1.0
"""Before a worker that died is started again."""


class WorkerProcess:
    """One worker process, kept alive; `on_loss` is called once when that is given up."""

    def __init__(self, on_loss: Callable[[], None], command: tuple[str, ...] = COMMAND) -> None:
        self.lost = False
        self._command = command
        self._on_loss = on_loss
        self._stopping = threading.Event()
        self._changing = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="worker-watcher", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the worker and watch it."""
        self._process = self._spawn()
        self._watcher.start()

    def stop(self) -> None:
        """Ask the worker to stop, and kill it and its children if it does not."""
        with self._changing:
            self._stopping.set()
            process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("worker_killed", pid=process.pid, after_seconds=STOP_SECONDS)
        _clear_away(process)
        process.wait()
        self._watcher.join(STOP_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in a terminal reaches this service alone, which then stops the worker in order.
        # The pipe is held by this process alone, and ends with it.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own module

    def _watch(self) -> None:
        deaths: list[float] = []
        while self._process is not None:
            code = self._process.wait()
            if self._stopping.is_set():
                return
            _clear_away(self._process)  # what it left behind: its lease runs out, and another takes the job up
            now = time.monotonic()
            deaths = [death for death in deaths if now - death < DEATHS_WITHIN_SECONDS] + [now]
            logger.error("worker_died", exit_code=code, deaths=len(deaths))
            if len(deaths) >= MAX_DEATHS:
                self.lost = True
                self._on_loss()
                return
            self._stopping.wait(PAUSE_SECONDS)
            with self._changing:
                if self._stopping.is_set():
                    return
                self._process = self._spawn()


def _clear_away(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a worker, and close our end of its standard input."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the group that `start_new_session` made, and nobody else
