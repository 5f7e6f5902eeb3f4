"""The service's log: one JSON object a line, or readable lines on a terminal. It never shows what a variable held."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def ensure_log() -> None:
    """Configure the log, if nobody has.

    structlog's own default writes an exception with every local variable: keys and specs among them, and of a deep recursion
    for minutes.
    """
    if not structlog.is_configured():
        configure_log()


def configure_log() -> None:
    """Send everything to stderr, with the request id in every line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for chatty in ("uvicorn.error", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    for_programs: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    for_people: list[structlog.typing.Processor] = [
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    ]
    structlog.configure(
        processors=[*shared, *(for_people if sys.stderr.isatty() else for_programs)],
        logger_factory=_log_to_stderr,
    )


def _log_to_stderr(*_: Any) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)  # asked for at every line: whoever redirects stderr gets the rest
