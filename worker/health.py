"""Whether a worker is alive: its dispatcher touches a file, `python -m worker.health` looks how long ago.

A round that did not reach the database does not count, so an outage shows here too.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from store.settings import Settings

TOUCH_SECONDS = 1.0
"""Pause between two touches; a dispatcher makes twenty rounds in that time."""

FRESH_SECONDS = 30.0
"""Age from which a worker counts as stuck: several times what a dispatcher pauses at most."""


class Pulse:
    """The file that a living dispatcher touches. One a host and data folder: workers side by side share it."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data_dir / f"worker-{socket.gethostname()}.alive"
        self._next = 0.0

    def beat(self) -> None:
        """Touch the file, if that is due."""
        if time.monotonic() < self._next:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        self._next = time.monotonic() + TOUCH_SECONDS

    def age_seconds(self) -> float | None:
        """Return how long ago it was touched; None if it never was."""
        try:
            return max(0.0, time.time() - self._path.stat().st_mtime)
        except FileNotFoundError:
            return None

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path


def main() -> int:
    """Return 0 if a worker of this host is alive, else 1 with a word on why."""
    pulse = Pulse(Settings())
    age = pulse.age_seconds()
    if age is not None and age < FRESH_SECONDS:
        return 0
    said = f"No worker wrote {pulse.path}" if age is None else f"The worker's last round was {age:.0f} s ago"
    sys.stderr.write(f"{said}; at most {FRESH_SECONDS:.0f} s are healthy.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
