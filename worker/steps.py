"""How the worker's own parts live within Celery's main process: started after the pool, stopped before it."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import structlog
from celery import bootsteps, signals
from celery.worker.components import Pool

from worker.dispatcher import Dispatcher
from worker.health import Pulse
from worker.outbox import Outbox
from worker.pool_child import STOP_SIGNAL

log = structlog.get_logger("worker")

SHUTDOWN_SECONDS = 8.0
"""How long a shutdown may take before the process ends itself: two seconds less than `docker stop` waits. Jobs in hand
stop at their next step; what is cut off here is recovered when its lease ends."""


class DispatcherStep(bootsteps.StartStopStep):
    """Runs the dispatcher for as long as the worker runs, and hands back the jobs when it shuts down."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        app = worker.app
        outbox = Outbox(app, slots=worker.concurrency)
        pulse = Pulse(app.settings)
        self._dispatcher = Dispatcher(
            app.store, app.settings, room=outbox.room, send=outbox.send, report_alive=pulse.beat
        )

    def start(self, worker: Any) -> None:
        """Start the thread, and listen for a shutdown."""

        def on_shutting_down(**_: Any) -> None:
            self._dispatcher.stop()
            interrupt_jobs(worker)
            end_in_time()

        # Celery's loop notices a shutdown up to two seconds after the signal; this is called by its handler itself.
        signals.worker_shutting_down.connect(on_shutting_down, weak=False)
        self._dispatcher.start()
        log.info("worker_started", slots=worker.concurrency, broker=worker.app.settings.broker_url is not None)

    def close(self, worker: Any) -> None:
        """Stop announcing; once more for the shutdowns that no signal began."""
        self._dispatcher.stop()
        interrupt_jobs(worker)

    def stop(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Wait for the last round."""
        self._dispatcher.join(timeout_seconds=SHUTDOWN_SECONDS / 2)

    def terminate(self, worker: Any) -> None:
        """Do the same: a cold shutdown has no less time than this."""
        self.stop(worker)


def interrupt_jobs(worker: Any) -> None:
    """Tell the pool's children that the worker shuts down: each hands its job back between two steps."""
    for child in worker.pool.info["processes"]:
        try:
            os.kill(child, STOP_SIGNAL)
        except ProcessLookupError:
            continue


def end_in_time() -> None:
    """End the process if its shutdown takes too long. The children die with it: their parent-death signal is set."""
    timer = threading.Timer(SHUTDOWN_SECONDS, os.kill, args=(os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
