"""What a pool child does before its first job. It is a fresh interpreter: it inherits the environment and no state."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import structlog
from celery.loaders.app import AppLoader

from worker.logs import configure_logging

if TYPE_CHECKING:
    from worker.app import WorkerApp  # names this loader: a cycle at run time

log = structlog.get_logger("worker.child")

STOP_SIGNAL = signal.SIGURG
"""Tells a child that the worker shuts down. Of all signals it is one that does nothing to a child that is not ready to
hear it, and that billiard does not take over for itself."""


class ChildLoader(AppLoader):
    """Celery's loader, with the start of a pool child as we need it."""

    def on_worker_process_init(self) -> None:
        """Log as the main process does, listen for the shutdown, end where a training hangs, and load and warm torch."""
        from worker.training import warm_up  # noqa: PLC0415 - the main process has this class too, and no torch

        configure_logging()
        app: WorkerApp = self.app  # type: ignore[assignment]  # its app is ours

        def stop(*_: Any) -> None:
            app.stopping.set()

        app.on_stall = _end_at_once
        signal.signal(STOP_SIGNAL, stop)
        warm_up()
        log.info("child_ready", pid=os.getpid())


def _end_at_once() -> None:
    """End this process: its one thread that trains will not come back. The pool starts another."""
    os.kill(os.getpid(), signal.SIGKILL)
