"""Ending with the process that started this worker, however that one ends: its end of standard input closes by itself.

A pipe rather than a signal of the kernel's: it works on every system, and leaves no moment in which the parent's death
goes unnoticed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import structlog

log = structlog.get_logger("worker")


def end_with_parent() -> None:
    """Shut this process down, as on SIGTERM, once standard input ends; nobody is to write anything into it."""
    threading.Thread(target=_wait_for_end, name="parent", daemon=True).start()


def _wait_for_end() -> None:
    # Unbuffered: a thread that waits within Python's own reader would hold its lock when the interpreter ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    log.warning("parent_gone")
    os.kill(os.getpid(), signal.SIGTERM)
