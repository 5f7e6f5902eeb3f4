"""The dispatcher's way to the broker: how many messages it may send now, and sending one. Fails fast, and says so."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from kombu import Connection

from store.bell import QUEUE, TASK_TRAIN

RELAYED_MESSAGES = 100
"""Messages in the broker's queue up to which more are sent. Each queued run needs one; a long backlog would otherwise be
announced over and over."""

BROKER_SECONDS = 5.0
"""How long a broker that does not answer is waited for, before the next try."""

FAIL_FAST = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
"""Kombu's options against its own habit of trying until the broker is back: the dispatcher has other things to do."""


class Outbox:
    """A connection of the dispatcher's own, opened at the first use and again after a failure. For one thread alone."""

    def __init__(self, app: Any, slots: int) -> None:
        self._app = app
        self._slots = slots
        self._connection: Connection | None = None

    def room(self) -> int:
        """Return how many messages may be sent now.

        In memory: as many as this worker has free slots, because nobody else can take them up. In Redis: enough that
        every worker finds some.
        """
        waiting = self._count_waiting()
        if self._app.settings.broker_url is not None:
            return max(0, RELAYED_MESSAGES - waiting)
        return max(0, self._slots - len(state.reserved_requests) - waiting)

    def send(self, run_id: str) -> None:
        """Send the message that a run waits."""
        try:
            self._app.send_task(
                TASK_TRAIN, args=[run_id], queue=QUEUE, connection=self._connected(), ignore_result=True, retry=False
            )
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()

    def _count_waiting(self) -> int:
        try:
            channel: Any = self._connected().default_channel
            # Not passively: in Redis a queue without messages does not exist, and Kombu looks for it without its prefix.
            return int(channel.queue_declare(QUEUE).message_count)
        except Exception:
            self.close()
            raise

    def _connected(self) -> Connection:
        if self._connection is None:
            options: dict[str, Any] = dict(FAIL_FAST)
            if self._app.settings.broker_url is not None:
                options |= {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
            self._connection = self._app.connection_for_write(transport_options=options)
        return self._connection
