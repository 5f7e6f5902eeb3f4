"""A file of what could not be sent to a service, with all that is needed to send it later, to the same run.

bytes 0..7    the magic
4 bytes       length of the header: a little-endian uint32
the header    JSON: `Unsent` without its bodies
the rest      each body after its length, likewise; they are sent as they are, and the service checks them
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradclinic.client.connection import Connection
from gradclinic.client.upload import RESTART_SECONDS, begin_run, finish_run, send_chunk
from gradclinic.contract.job import Run
from gradclinic.errors import InvalidHistory
from gradclinic.history.packed import MAX_PACKED_BYTES

MAGIC = b"GRADLEFT"
SUFFIX = ".gradleft"

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Unsent:
    """What is left to send of a run."""

    run_id: str | None
    """None where the run could not even be begun."""
    begin: dict[str, Any]
    key: str
    """The idempotency key under which the run is begun: it may have been, without an answer."""
    first: int
    """The number of the first chunk."""
    end: dict[str, Any]
    bodies: Iterable[bytes]


def is_unsent_file(path: Path) -> bool:
    """Tell whether a file is one of these.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def save_unsent(unsent: Unsent, path: Path) -> None:
    """Write the file; one that is there is never replaced.

    Raises:
        OSError: It cannot be written.
    """
    header = {name: getattr(unsent, name) for name in ("run_id", "begin", "key", "first", "end")}
    text = json.dumps(header).encode()
    with path.open("xb") as file:
        file.write(MAGIC + _LENGTH.pack(len(text)) + text)
        for body in unsent.bodies:
            file.write(_LENGTH.pack(len(body)) + body)


def send_unsent(connection: Connection, path: Path) -> Run:
    """Send what a file holds, and return the run once it is judged. Done twice, nothing is stored twice.

    Raises:
        InvalidHistory: The file is damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = _pieces(file.read, path)
        try:
            unsent = Unsent(**json.loads(next(content, b"{}")), bodies=content)
        except (ValueError, TypeError) as error:
            raise InvalidHistory(f"{path} is damaged: {error}.") from None
        run_id = unsent.run_id or begin_run(connection, unsent.begin, unsent.key, RESTART_SECONDS).id
        for number, body in enumerate(unsent.bodies, start=unsent.first):
            send_chunk(connection, run_id, number, body, RESTART_SECONDS)
        return finish_run(connection, run_id, unsent.end, RESTART_SECONDS)


def _pieces(read: Any, path: Path) -> Iterator[bytes]:
    if read(len(MAGIC)) != MAGIC:
        raise InvalidHistory(f"{path} is no file of an unsent history.")
    while prefix := read(_LENGTH.size):
        length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else MAX_PACKED_BYTES + 1
        piece = read(length) if length <= MAX_PACKED_BYTES else b""
        if len(piece) != length:
            raise InvalidHistory(f"{path} is damaged or was cut.")
        yield piece
