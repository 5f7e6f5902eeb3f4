"""What waits to be sent: in memory up to a bound, beyond it in a temporary file without a name, which ends with the process."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence

IN_MEMORY = 16 * 1024 * 1024
"""Bytes that wait in memory."""

MOST = 4 * 1024 * 1024 * 1024
"""Bytes that wait at all: some billion numbers."""


class SpoolFull(Exception):
    """As much waits as may."""


class Spool:
    """Bodies in the order in which they came. Any thread may put one in, and one thread takes them out."""

    def __init__(self, in_memory: int = IN_MEMORY, most: int = MOST) -> None:
        # Closed with the process at the latest; a training that breaks off leaves nothing behind.
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - it lives as long as this does
        self._places: deque[tuple[int, int]] = deque()
        self._most = most
        self._end = 0
        self._dropped = 0
        self._is_kept = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def dropped(self) -> int:
        """How many bodies were forgotten: the number of the first one that waits."""
        return self._dropped

    def put(self, body: bytes) -> None:
        """Add a body at the end.

        Raises:
            SpoolFull: There is no room for it.
            OSError: The disk has none.
        """
        with self._lock:
            if self._end + len(body) > self._most:
                raise SpoolFull(f"{self._end:,} bytes wait to be sent, and no more than {self._most:,} may.")
            self._file.seek(self._end)
            self._file.write(body)
            self._file.flush()
            self._places.append((self._end, len(body)))
            self._end += len(body)

    def first(self) -> bytes | None:
        """Return the body that waits longest; None where none does."""
        with self._lock:
            return self._read(self._places[0]) if self._places else None

    def drop_first(self) -> None:
        """Forget the body that waited longest. Once all are gone, so is the room that they took."""
        with self._lock:
            self._places.popleft()
            self._dropped += 1
            if not self._places and not self._is_kept:
                self._end = 0
                self._file.seek(0)
                self._file.truncate()

    def keep(self) -> tuple[int, Iterator[bytes]]:
        """Return how many bodies were forgotten, and all that wait now, also those that are forgotten from now on."""
        with self._lock:
            self._is_kept = True
            return self._dropped, self._read_all(list(self._places))

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._places.clear()
            self._file.close()

    def _read_all(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        for place in places:
            with self._lock:
                body = self._read(place)
            yield body

    def _read(self, place: tuple[int, int]) -> bytes:
        self._file.seek(place[0])
        return self._file.read(place[1])
