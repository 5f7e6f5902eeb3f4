"""Reading idx files, MNIST's own format (LeCun, http://yann.lecun.com/exdb/mnist), plain or gzip."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gradclinic.contract.file_data import Idx
from gradclinic.files.files import Files
from gradclinic.files.raw import RawData
from gradclinic.files.source import Source
from gradclinic.files.targets import MAX_CLASSES

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of a file says what its numbers are."""

GZIP = b"\x1f\x8b"
CHUNK = 1 << 20


def read_idx(data: Idx, files: Files) -> RawData:
    """Read images (rows, 1, height, width), or flattened, and their labels.

    Raises:
        InvalidSpec: A file cannot be read, is not what it should be, or they do not belong together.
    """
    images_file, labels_file = files.find(data.images, "images"), files.find(data.labels, "labels")
    images = _read_array(images_file, (3, 4), files.max_numbers)
    labels = _read_array(labels_file, (1,), files.max_numbers)
    if len(images) != len(labels):
        words = f"has {len(labels):,} labels, and the images are {len(images):,}."
        raise labels_file.refusal(words, "the labels of these very images")
    if images.ndim == 3:
        images = images[:, None]
    if data.flatten:
        images = images.reshape(len(images), -1)
    indices = _as_indices(labels, labels_file)
    integers = bool(np.issubdtype(images.dtype, np.integer))
    return RawData(images, indices, is_image=True, integers=integers, classes=int(indices.max()) + 1)


def _as_indices(labels: npt.NDArray[Any], source: Source) -> npt.NDArray[np.int64]:
    expected = f"whole numbers from 0 to {MAX_CLASSES - 1}"
    if not np.issubdtype(labels.dtype, np.integer):
        raise source.refusal("does not hold whole numbers.", expected)
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise source.refusal(f"has labels from {labels.min()} to {labels.max()}.", expected)
    if labels.max() == 0:
        raise source.refusal("has a single class, 0.", "labels of two classes or more")
    return labels.astype(np.int64)


def _read_array(source: Source, ranks: tuple[int, ...], max_numbers: int) -> npt.NDArray[Any]:
    wanted = "an idx file of " + ("labels, [N]" if ranks == (1,) else "images, [N, height, width]")
    with source.open() as file, _unpacked(source, file) as stream:
        dtype, shape = _read_head(source, stream, wanted)
        if len(shape) not in ranks:
            raise source.refusal(f"holds an array of shape {list(shape)}.", wanted)
        count = math.prod(shape)
        if count == 0:
            raise source.refusal(f"holds nothing: its shape is {list(shape)}.", wanted)
        if count > max_numbers:
            raise source.refusal(f"holds {count:,} numbers; the limit here is {max_numbers:,}.")
        raw = _read_up_to(stream, count * dtype.itemsize + 1)
        if len(raw) != count * dtype.itemsize:
            found = (
                "more bytes"
                if len(raw) > count * dtype.itemsize
                else f"only {len(raw):,} of {count * dtype.itemsize:,}"
            )
            raise source.refusal(
                f"does not end where its head says, for {list(shape)}: it has {found}.", "a whole file"
            )
    array = np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    if not np.isfinite(array).all():
        raise source.refusal("holds a number that is not finite.", "finite numbers")
    return array


def _read_head(source: Source, stream: BinaryIO, wanted: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the magic number and the sizes: two zeros, the type, the rank, and a big-endian uint32 a dimension."""
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or magic[3] == 0:
        raise source.refusal(f"is not an idx file: it begins with {magic.hex(' ') or 'nothing'}.", wanted)
    sizes = _read_up_to(stream, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise source.refusal("is cut off in its head.", "a whole file")
    return np.dtype(TYPES[magic[2]]), tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


@contextmanager
def _unpacked(source: Source, file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield what is in the file, unpacked where it is gzip."""
    packed = file.read(2) == GZIP
    file.seek(0)
    if not packed:
        yield file
        return
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            yield io.BufferedReader(stream)
    except EOFError as error:
        raise source.refusal("is cut off: its gzip stream has no end.", "a whole file") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise source.refusal(f"is damaged: {error}.", "a whole gzip file") from error


def _read_up_to(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes, or as many as there are. Memory grows with what is there, not with what was promised."""
    parts = bytearray()
    while len(parts) < count and (part := stream.read(min(CHUNK, count - len(parts)))):
        parts += part
    return bytes(parts)
