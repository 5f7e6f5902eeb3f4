"""What a worker process is called in the database and in the file of its health."""

from __future__ import annotations

import os
import socket


def worker_name() -> str:
    """Name this process: `<host>:<process id>`."""
    return f"{socket.gethostname()}:{os.getpid()}"
