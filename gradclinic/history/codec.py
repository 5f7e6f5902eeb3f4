"""Packing a signal's table into bytes and back, without loss.

The numbers of one subject are near to each other from step to step, so that the differences of their bits are small. Of
those, bytes of one significance are put side by side before compression (a byte shuffle): 2.0 to 3.0 bytes a number
where raw float32 takes 4. A table is kept as float32 where each of its numbers survives that, else as float64: the norm
of float32 numbers need not fit into a float32.

    byte 0       format version, 2; version 1, which is still read, has the values themselves in place of differences
    byte 1       4 or 8: bytes a value
    bytes 2..9   number of steps, number of subjects: two little-endian uint32
    the rest     one zstandard frame: steps (int64, differences), values (row by row, `differ`; in version 1 column by
                 column), subjects (JSON); all numbers shuffled
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from gradclinic.errors import InvalidHistory
from gradclinic.history.history import SignalTable

VERSION = 2
_READ = (1, VERSION)
LEVEL = 1
MAX_DECODED = 256 * 1024 * 1024
"""Bytes that one packed table may unfold to; a table of our own is a thousand times smaller."""

_HEADER = struct.Struct("<BBII")
HEADER_BYTES = _HEADER.size
"""The bytes that `peek_table` needs."""

_LONG_ROW = 8
"""How many times as long as its columns a table's rows are where adding them up one by one is faster than `cumsum`."""

OWN_BLOCK = 512
"""Bytes of one kind that are worth a block of their own, whose description takes some fifty."""

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def as_recorded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to the nearest float32 wherever that is a normal number, so that storing loses nothing.

    What float32 cannot hold with full precision (below 1.2e-38, above 3.4e38) keeps its float64.
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    tiny, huge = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    size = np.abs(rounded)
    return np.where((size >= tiny) & (size <= huge), rounded, values)


def narrow(values: Values) -> Values:
    """Return the values as float32 where each of them survives that bit for bit (NaN payloads aside), else as they are."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        small = values.astype(np.float32)
        same = small == values
    return small if same.all() or np.isnan(values[~same]).all() else values


def encode_table(table: SignalTable) -> bytes:
    """Pack a table; `decode_table` gives the same one back, bit for bit (NaN payloads aside)."""
    values = narrow(table.values)
    steps = np.diff(table.steps, prepend=np.int64(0)).astype("<i8")
    header = _HEADER.pack(VERSION, values.dtype.itemsize, len(table.steps), len(table.subjects))
    return header + fold([shuffle(steps), shuffle(differ(values)), names_of(table.subjects)])


def decode_table(packed: bytes) -> SignalTable:
    """Unpack a table.

    Raises:
        InvalidHistory: These bytes were not made by `encode_table`, or were cut.
    """
    width, n_steps, n_subjects, body = _open(packed)
    values_start = 8 * n_steps
    try:
        steps = np.cumsum(unshuffle(body[:values_start], np.dtype("<i8")))
        raw = unshuffle(body[values_start : values_start + width * n_steps * n_subjects], np.dtype(f"<u{width}"))
        values = _by_column(raw, n_steps) if packed[0] == 1 else undiffer(raw.reshape(n_steps, n_subjects))
    except ValueError as error:
        raise InvalidHistory(f"A packed table cannot be read: {error}.") from error
    return SignalTable(steps, _subjects_in(width, n_steps, n_subjects, body), values.astype(np.float64))


def decode_subjects(packed: bytes) -> tuple[str, ...]:
    """Unpack a table's subjects alone.

    Raises:
        InvalidHistory: These bytes were not made by `encode_table`, or were cut.
    """
    return _subjects_in(*_open(packed))


def peek_table(packed: bytes) -> tuple[int, int]:
    """Return how many steps and subjects a packed table has, from its first `HEADER_BYTES` alone.

    Raises:
        InvalidHistory: These bytes were not made by `encode_table`.
    """
    if len(packed) < HEADER_BYTES or packed[0] not in _READ:
        raise InvalidHistory("These bytes do not begin as a packed table does.")
    _, _, n_steps, n_subjects = _HEADER.unpack_from(packed)
    return n_steps, n_subjects


@lru_cache(maxsize=64)
def names_of(subjects: tuple[str, ...]) -> bytes:
    """Return the names of subjects as they are packed: the same again and again, chunk by chunk."""
    return json.dumps(subjects).encode()


def differ(values: Values) -> npt.NDArray[Any]:
    """Return values (n, m) as what has to be added to the bits of the row before, as whole numbers (n, m).

    The sign of a difference is put into its lowest bit, so that the highest bits of a small one are 0 either way.
    """
    bits = np.ascontiguousarray(values).view(f"<i{values.dtype.itemsize}")
    steps = bits.copy()
    steps[1:] -= bits[:-1]
    steps = (steps << 1) ^ (steps >> (8 * bits.dtype.itemsize - 1))
    whole: npt.NDArray[Any] = steps.view(f"<u{bits.dtype.itemsize}")
    return whole


def undiffer(steps: npt.NDArray[Any]) -> Values:
    """Undo `differ`."""
    whole = steps.dtype.type
    bits = (steps >> whole(1)) ^ -(steps & whole(1))  # wraps around, as the sums will
    if len(steps) * _LONG_ROW < steps.shape[1]:
        for row in range(1, len(bits)):
            bits[row] += bits[row - 1]
    else:
        bits = np.cumsum(bits, axis=0, dtype=steps.dtype)
    values: Values = bits.view(f"<f{steps.dtype.itemsize}")
    return values


def shuffle(values: npt.NDArray[Any]) -> list[bytes]:
    """Return the bytes of the values by their significance, lowest first."""
    single = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.dtype.itemsize)
    return [plane.tobytes() for plane in np.ascontiguousarray(single.T)]


def unshuffle(raw: bytes | memoryview, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Undo `shuffle`, with the pieces joined; return a row (n,) of values."""
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
    # Shifts of whole numbers run at the speed of memory; writing every fourth byte takes three times as long.
    whole = planes[-1].astype(f"<u{dtype.itemsize}")
    for plane in planes[-2::-1]:
        whole <<= np.uint8(8)
        whole |= plane
    values: npt.NDArray[Any] = whole.view(dtype)
    return values


def fold(pieces: Iterable[list[bytes] | bytes]) -> bytes:
    """Compress pieces into one zstandard frame, whatever is of one kind for itself.

    zstandard codes what stands in one block by how often each byte occurs in it; bytes of different significance in one
    block cost 0.1 bytes a number.
    """
    flat = [part for piece in pieces for part in (piece if isinstance(piece, list) else [piece])]
    compressor = zstandard.ZstdCompressor(level=LEVEL).compressobj(size=sum(map(len, flat)))
    packed = []
    for part in flat:
        packed.append(compressor.compress(part))
        if len(part) >= OWN_BLOCK:
            packed.append(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    return b"".join([*packed, compressor.flush()])


def unfold(frame: bytes | memoryview, most: int) -> bytes:
    """Decompress one zstandard frame that tells its size, if that is `most` bytes at most.

    Raises:
        InvalidHistory: It is no such frame, was cut, or unfolds to more.
    """
    try:
        # The decompressor's own limit does not hold for a frame that tells its size: it would allocate all of it.
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= most:
            raise InvalidHistory(f"A packed table unfolds to {size} bytes; expected at most {most}.")
        return zstandard.ZstdDecompressor().decompress(frame) if size else b""
    except zstandard.ZstdError as error:
        raise InvalidHistory(f"A packed table cannot be read: {error}.") from error


def _by_column(raw: npt.NDArray[Any], n_steps: int) -> Values:
    values: Values = raw.view(f"<f{raw.dtype.itemsize}").reshape(-1, n_steps).T
    return values


def _open(packed: bytes) -> tuple[int, int, int, bytes]:
    """Return the width of a value, the numbers of steps and subjects, and the body."""
    if len(packed) < HEADER_BYTES:
        raise InvalidHistory("A packed table cannot be read: it was cut.")
    version, width, n_steps, n_subjects = _HEADER.unpack_from(packed)
    if version not in _READ or width not in (4, 8):
        raise InvalidHistory(f"A packed table of version {version} and width {width} is not known here.")
    return width, n_steps, n_subjects, unfold(memoryview(packed)[HEADER_BYTES:], MAX_DECODED)


def _subjects_in(width: int, n_steps: int, n_subjects: int, body: bytes) -> tuple[str, ...]:
    try:
        return tuple(json.loads(body[n_steps * (8 + width * n_subjects) :]))
    except (ValueError, TypeError) as error:
        raise InvalidHistory(f"A packed table cannot be read: {error}.") from error
