"""A part of a history as one body of bytes, as a client sends it and the service reads it.

    bytes 0..7    the magic, GRADHIS and a version
    bytes 8..11   length of the header: a little-endian uint32
    the header    JSON: {"tables": [[signal, length of its table], ...], "facts": {...} or null}
    the rest      the tables, one after the other, as `codec.py` packs them

It is our own form and not Arrow's because strangers send it: pyarrow promises nothing about hostile IPC streams, and a
pickle runs what is in it. Here every count stands before what it counts, and is checked before memory is taken for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import zstandard

from gradclinic.contract.external import MAX_CHUNK_NUMBERS, MAX_COLUMNS, MAX_SIGNALS
from gradclinic.contract.parse import load_json
from gradclinic.errors import InvalidHistory, InvalidSpec
from gradclinic.history.codec import HEADER_BYTES, decode_table, encode_table, peek_table
from gradclinic.history.history import History, SignalTable

MEDIA_TYPE = "application/vnd.gradclinic.history"

MAGIC = b"GRADHIS\x01"

MAX_HEADER_BYTES = 4 * 1024 * 1024
"""Facts of some ten thousand layers."""

MAX_NAMES_BYTES = 8 * 1024 * 1024
"""Of the subjects' names of all tables together, as JSON. `MAX_COLUMNS` names of a usual length have half of it."""

MAX_PACKED_BYTES = 48 * 1024 * 1024
"""A whole body: `MAX_CHUNK_NUMBERS` that cannot be compressed at all, their names, and the header."""

_HEAD = struct.Struct("<8sI")


def pack_part(part: History, facts: Mapping[str, Any] | None = None) -> bytes:
    """Pack the tables of a part, and the facts beside them where any are given."""
    tables = [(signal, encode_table(table)) for signal, table in part.tables.items() if len(table.steps)]
    header = json.dumps({"tables": [(signal, len(packed)) for signal, packed in tables], "facts": facts}).encode()
    return b"".join((_HEAD.pack(MAGIC, len(header)), header, *(packed for _, packed in tables)))


def unpack_part(body: bytes) -> tuple[dict[str, SignalTable], Any]:
    """Return the tables and the facts of a packed part; the facts as plain objects, not checked.

    Whatever the bytes are, no more than some hundred megabytes are taken for them. What the tables hold is not judged:
    their steps and names may be any.

    Raises:
        InvalidHistory: The bytes are no packed part, or one that is too large.
    """
    header, rest = _read_header(body)
    frames = list(_frames(header, rest))
    if len({signal for signal, _ in frames}) < len(frames):
        raise InvalidHistory("A signal has two tables.")
    _check_counts(frames)
    return {signal: _decode(signal, packed) for signal, packed in frames}, header.get("facts")


def _read_header(body: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(body) < _HEAD.size or body[:8] != MAGIC:
        raise InvalidHistory(f"The body does not begin as a packed history does, with {MAGIC!r}.")
    length = _HEAD.unpack_from(body)[1]
    if length > min(MAX_HEADER_BYTES, len(body) - _HEAD.size):
        most = f"at most {MAX_HEADER_BYTES:,} are read"
        raise InvalidHistory(f"The header is said to have {length:,} bytes; {len(body):,} came in all, and {most}.")
    end = _HEAD.size + length
    try:
        header = load_json(bytes(body[_HEAD.size : end]))
    except InvalidSpec as error:
        raise InvalidHistory(f"The header cannot be read: {error.faults[0].detail}") from None
    if (
        not isinstance(header, dict)
        or header.keys() - {"tables", "facts"}
        or not isinstance(header.get("tables"), list)
    ):
        raise InvalidHistory('The header is not {"tables": [[signal, length], ...], "facts": {...}}.')
    return header, memoryview(body)[end:]


def _frames(header: Mapping[str, Any], rest: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield each signal with its packed table."""
    tables, start = header["tables"], 0
    if len(tables) > MAX_SIGNALS:
        raise InvalidHistory(f"There are {len(tables):,} tables, and a run may have {MAX_SIGNALS} signals.")
    for entry in tables:
        match entry:
            case [str(signal), int(length)] if HEADER_BYTES < length <= len(rest) - start:
                yield signal, rest[start : start + length]
                start += length
            case _:
                raise InvalidHistory("An entry of the header's tables is not a signal and the length of its table.")
    if start != len(rest):
        raise InvalidHistory(f"{len(rest) - start:,} bytes stand after the last table.")


def _check_counts(frames: list[tuple[str, memoryview]]) -> None:
    """Refuse tables that would unfold to more than they say, or say too much."""
    numbers = columns = names = 0
    for signal, packed in frames:
        n_steps, n_subjects = peek_table(bytes(packed[:HEADER_BYTES]))
        numbers += n_steps * n_subjects
        columns += n_subjects
        if not n_steps or not n_subjects:
            raise InvalidHistory(f"The table of {signal[:80]!r} is empty; leave it out.")
        if numbers > MAX_CHUNK_NUMBERS or columns > MAX_COLUMNS:
            raise InvalidHistory(
                f"With the table of {signal[:80]!r} this would be {columns:,} columns and {numbers:,} numbers; a chunk may "
                f"have {MAX_COLUMNS:,} and {MAX_CHUNK_NUMBERS:,}. Send fewer steps at once."
            )
        # zstandard takes as much memory as the frame says that it needs, whatever limit it is given.
        fixed = n_steps * (8 + packed[1] * n_subjects)
        try:
            said = zstandard.get_frame_parameters(packed[HEADER_BYTES:])
        except zstandard.ZstdError as error:
            raise InvalidHistory(f"The table of {signal[:80]!r} cannot be read: {error}.") from None
        names += said.content_size - fixed
        if said.content_size <= fixed or names > MAX_NAMES_BYTES or said.window_size > MAX_PACKED_BYTES:
            raise InvalidHistory(
                f"The table of {signal[:80]!r} unfolds to {said.content_size:,} bytes, where {n_steps:,} steps of "
                f"{n_subjects:,} subjects take {fixed:,} and the subjects' names, of which a chunk may have "
                f"{MAX_NAMES_BYTES:,} bytes."
            )


def _decode(signal: str, packed: memoryview) -> SignalTable:
    try:
        table = decode_table(bytes(packed))
    except (InvalidHistory, TypeError, RecursionError) as error:  # the latter two from JSON that is no list of names
        raise InvalidHistory(f"The table of {signal[:80]!r} cannot be read: {error}") from None
    if not all(isinstance(subject, str) for subject in table.subjects):
        raise InvalidHistory(f"The subjects of {signal[:80]!r} are not all names.")
    return table
