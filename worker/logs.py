"""The worker's log: one JSON object a line, or readable lines on a terminal. Celery's own messages go the same way."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from celery import signals

LEVEL = logging.INFO

QUIET = ("celery.app.trace", "celery.worker.strategy", "kombu", "alembic")
"""Loggers that say at INFO, for every message, what our own log says by job."""


def configure_logging() -> None:
    """Send everything to stderr, with the job and attempt at work, if any, in every line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    terminal = sys.stderr.isatty()
    render: list[Any] = (
        [structlog.dev.ConsoleRenderer()]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LEVEL)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    signals.setup_logging.connect(_leave_logging_alone, weak=False)


def _leave_logging_alone(**_: Any) -> None:
    """Being connected is enough: Celery sets up no logging of its own then."""
