"""What a pool child does before its first job. It is a fresh interpreter: it inherits the environment and no state."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import structlog
from celery.loaders.app import AppLoader

from worker.logs import configure_logging

log = structlog.get_logger("worker.child")

STOP_SIGNAL = signal.SIGURG
"""Tells a child that the worker shuts down. Of all signals it is one that does nothing to a child that is not ready to
hear it, and that billiard does not take over for itself."""


class ChildLoader(AppLoader):
    """Celery's loader, with the start of a pool child as we need it."""

    def on_worker_process_init(self) -> None:
        """Log as the main process does, listen for the shutdown, and have torch loaded and warm."""
        from worker.training import warm_up  # noqa: PLC0415 - the main process has this class too, and no torch

        configure_logging()
        stopping: threading.Event = self.app.stopping  # type: ignore[attr-defined]  # its app is ours

        def stop(*_: Any) -> None:
            stopping.set()

        signal.signal(STOP_SIGNAL, stop)
        warm_up()
        log.info("child_ready", pid=os.getpid())
