"""Where finished chunks wait until the history is asked for: packed, in an unnamed file that the system removes."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from typing import IO

from gradclinic.history import History, RunFacts, SignalTable, concatenate, decode_table, encode_table

_HEADER = struct.Struct("<HQ")  # lengths of the signal's name and of its packed table


class ChunkFile:
    """Chunks in a temporary file (`TMPDIR` says where). In memory there is nothing that grows with their number.

    Raises:
        OSError: There is no folder for temporary files, or no room in it.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def add(self, tables: dict[str, SignalTable]) -> None:
        """Write the tables of one chunk."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="gradclinic-")  # noqa: SIM115 - it lives as long as the recorder
        end = self._file.seek(0, os.SEEK_END)
        try:
            for name, table in tables.items():
                packed, encoded = encode_table(table), name.encode()
                self._file.write(_HEADER.pack(len(encoded), len(packed)) + encoded + packed)
            self._file.flush()
        except OSError:
            self._file.truncate(end)  # half a chunk could not be read
            raise

    def read(self, facts: RunFacts, last: dict[str, SignalTable]) -> History:
        """Return all chunks and `last` after them as one history."""
        # One table at a time: what is asked for is held once, packed pieces are not.
        parts = [History({name: table}, facts) for name, table in self._tables()]
        return concatenate([*parts, History(last, facts)])

    def clear(self) -> None:
        """Forget everything."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.clear()

    def _tables(self) -> Iterator[tuple[str, SignalTable]]:
        if self._file is None:
            return
        self._file.seek(0)
        while header := self._file.read(_HEADER.size):
            name, packed = _HEADER.unpack(header)
            yield self._file.read(name).decode(), decode_table(self._file.read(packed))
