"""Packing a signal's table into bytes and back, without loss.

Bytes of one significance are put side by side before compression (a byte shuffle), because the numbers of one signal
share their exponents: 2.9 to 3.0 bytes a number where raw float32 takes 4. A table is kept as float32 where each of
its numbers survives that, else as float64: the norm of float32 numbers need not fit into a float32.

    byte 0       format version, 1
    byte 1       4 or 8: bytes a value
    bytes 2..9   number of steps, number of subjects: two little-endian uint32
    the rest     one zstandard frame: steps (int64, differences), values (by subject, shuffled), subjects (JSON)
"""

from __future__ import annotations

import json
import struct

import numpy as np
import numpy.typing as npt
import zstandard

from gradclinic.errors import InvalidHistory
from gradclinic.history.history import SignalTable

VERSION = 1
LEVEL = 1
MAX_DECODED = 256 * 1024 * 1024
"""Bytes that one packed table may unfold to; a table of our own is a thousand times smaller."""

_HEADER = struct.Struct("<BBII")
HEADER_BYTES = _HEADER.size
"""The bytes that `peek_table` needs."""


def as_recorded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to the nearest float32 wherever that is a normal number, so that storing loses nothing.

    What float32 cannot hold with full precision (below 1.2e-38, above 3.4e38) keeps its float64.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    tiny, huge = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    size = np.abs(rounded)
    return np.where((size >= tiny) & (size <= huge), rounded, values)


def encode_table(table: SignalTable) -> bytes:
    """Pack a table; `decode_table` gives the same one back, bit for bit (NaN payloads aside)."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = table.values.astype(np.float32)
    dtype = np.float32 if np.array_equal(narrow.astype(np.float64), table.values, equal_nan=True) else np.float64
    columns = np.ascontiguousarray(table.values.T.astype(dtype))
    steps = np.diff(table.steps, prepend=np.int64(0)).astype("<i8")
    body = b"".join((_shuffle(steps), _shuffle(columns), json.dumps(table.subjects).encode()))
    header = _HEADER.pack(VERSION, np.dtype(dtype).itemsize, len(table.steps), len(table.subjects))
    return header + zstandard.ZstdCompressor(level=LEVEL).compress(body)


def decode_table(packed: bytes) -> SignalTable:
    """Unpack a table.

    Raises:
        InvalidHistory: These bytes were not made by `encode_table`, or were cut.
    """
    try:
        version, width, n_steps, n_subjects = _HEADER.unpack_from(packed)
        if version != VERSION or width not in (4, 8):
            raise InvalidHistory(f"A packed table of version {version} and width {width} is not known here.")
        body = zstandard.ZstdDecompressor().decompress(packed[_HEADER.size :], max_output_size=MAX_DECODED)
        steps_end = 8 * n_steps
        values_end = steps_end + width * n_steps * n_subjects
        steps = np.cumsum(_unshuffle(body[:steps_end], np.dtype("<i8")))
        values = _unshuffle(body[steps_end:values_end], np.dtype(f"<f{width}")).reshape(n_subjects, n_steps)
        subjects = tuple(json.loads(body[values_end:]))
    except (struct.error, zstandard.ZstdError, ValueError) as error:
        raise InvalidHistory(f"A packed table cannot be read: {error}.") from error
    return SignalTable(steps, subjects, values.T.astype(np.float64))


def peek_table(packed: bytes) -> tuple[int, int]:
    """Return how many steps and subjects a packed table has, from its first `HEADER_BYTES` alone.

    Raises:
        InvalidHistory: These bytes were not made by `encode_table`.
    """
    if len(packed) < HEADER_BYTES or packed[0] != VERSION:
        raise InvalidHistory("These bytes do not begin as a packed table does.")
    _, _, n_steps, n_subjects = _HEADER.unpack_from(packed)
    return n_steps, n_subjects


def _shuffle(values: npt.NDArray[np.generic]) -> bytes:
    width = values.dtype.itemsize
    return np.frombuffer(values.tobytes(), np.uint8).reshape(-1, width).T.tobytes()


def _unshuffle(raw: bytes, dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    return np.frombuffer(np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1).T.tobytes(), dtype)
