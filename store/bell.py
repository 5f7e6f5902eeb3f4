"""The bell: tells the workers that work waits. The rows are the truth; a message lost, doubled or late changes nothing."""

from __future__ import annotations

import time
from typing import Any, Literal

import structlog
from celery import Celery

TASK_TRAIN = "gradclinic.train_run"
"""The task's name. Its one argument is the id of what waits, a job or a run: for logs, for the table tells whose turn it is."""

QUEUE = "gradclinic"
"""The queue that the messages go to."""

TIMEOUT_SECONDS = 2
"""How long a request waits for a broker that does not answer."""

QUIET_SECONDS = 5.0
"""How long a broker that failed is left alone. The dispatcher announces meanwhile."""

log = structlog.get_logger(__name__)


def broker_options(prefix: str) -> dict[str, Any]:
    """Return Celery's `broker_transport_options` for Redis, the same for who sends and who listens.

    Tasks are acknowledged when they are received and recovered by the job table, so that the visibility timeout guards
    nothing; it is long, for Redis delivers again whatever takes longer.
    """
    return {
        "global_keyprefix": prefix,
        "visibility_timeout": 6 * 3600,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
        "socket_connect_timeout": 5,
        "health_check_interval": 25,
    }


class Bell:
    """Rings for a job. Without a broker it is silent: the dispatcher finds the row by itself."""

    def __init__(self, broker_url: str | None, prefix: str = "gradclinic:") -> None:
        self._celery = None if broker_url is None else _make_producer(broker_url, prefix)
        self._quiet_until = 0.0

    def ring(self, job_id: str) -> None:
        """Send the message. It never raises and never takes long: a broker that is down delays the job, no more."""
        if self._celery is None or time.monotonic() < self._quiet_until:
            return
        try:
            self._celery.send_task(TASK_TRAIN, args=[job_id], queue=QUEUE, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, the job is safe in its row
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("bell_not_heard", job_id=job_id, error=f"{type(error).__name__}: {error}")

    def check(self) -> Literal["none", "ok", "unreachable"]:
        """Tell whether the broker answers, within seconds. `none` is the embedded system, which needs none."""
        if self._celery is None:
            return "none"
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, it does not answer
            log.warning("broker_unreachable", error=f"{type(error).__name__}: {error}")
            return "unreachable"
        return "ok"

    def close(self) -> None:
        """Close the connections to the broker."""
        if self._celery is not None:
            self._celery.close()


def _make_producer(broker_url: str, prefix: str) -> Celery:
    app = Celery("gradclinic-bell", broker=broker_url, set_as_current=False)
    options = broker_options(prefix)
    if broker_url.startswith(("redis", "rediss")):
        options |= {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    app.conf.update(
        broker_transport_options=options | {"max_retries": 0, "interval_start": 0, "interval_step": 0},
        broker_connection_timeout=TIMEOUT_SECONDS,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
    )
    return app
