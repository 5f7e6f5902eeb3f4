"""Kombu's in-memory transport for the embedded system, quicker to look up: for messages, and for a shutdown."""

from __future__ import annotations

from typing import Any

from kombu.transport import memory

DRAIN_SECONDS = 0.1
"""Longest wait for a message at a time. Celery asks for two seconds, and notices a shutdown only in between."""

POLL_SECONDS = 0.02
"""How often it looks for a message; its own default of 1 s piles up seconds at ten jobs a second."""


class Transport(memory.Transport):
    """Messages within this process."""

    polling_interval = POLL_SECONDS

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver a message, or raise `TimeoutError` after a while."""
        super().drain_events(connection, timeout=min(timeout or DRAIN_SECONDS, DRAIN_SECONDS), **kwargs)
