"""Reading NumPy's .npz files: a zip of arrays. Pickled objects are refused, and sizes checked before anything is unpacked."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gradclinic.contract.file_data import Arrays
from gradclinic.files.files import Files
from gradclinic.files.raw import RawData, is_image_shape, is_sequence_shape
from gradclinic.files.source import Source, near, shown
from gradclinic.files.targets import MAX_CLASSES, as_values

MAX_MEMBERS = 10_000
"""Arrays that a file may hold: its list is read whole."""

MAX_LIST = 1 << 20
"""Bytes that this list may have: a hundred for each array."""

LIST_END, LIST_END_WIDE, POINTER_WIDE = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""How the records begin that end the list; those of zip's 64-bit form say what does not fit into the first."""

END_BYTES = 22 + 0xFFFF
"""The first of them with the longest comment after it."""

END_BYTES_WIDE = 56 + 20
"""The wide one and the pointer to it, which lie before the first."""

AT_ONCE = 1 << 20
"""Numbers that are looked through at a time."""

WHOLE = "a whole file, as `numpy.savez` writes it"

HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""The versions of the format in which numbers are stored; the third is for names of columns."""


def read_arrays(data: Arrays, files: Files) -> RawData:
    """Read inputs (rows, ...) and targets.

    Whole numbers in y, (rows,), are classes; in (rows, T), where x has T steps, a class for each step. All else is values.

    Raises:
        InvalidSpec: The file cannot be read, lacks an array, or they do not belong together.
    """
    source = files.find_for(data)
    inputs, targets = _read_both(data, source, files.max_numbers)
    if len(inputs) != len(targets):
        words = f"has {len(targets):,} rows in {shown(data.y)} and {len(inputs):,} in {shown(data.x)}."
        raise source.refusal(words, "as many targets as inputs", key="y")
    inputs = inputs.reshape(len(inputs), -1) if inputs.ndim == 1 else inputs
    classes = _classes_in(source, data, inputs, targets)
    return RawData(
        inputs,
        as_values(targets) if classes is None else targets.astype(np.int64),
        is_image=is_image_shape(inputs.shape[1:]),
        is_sequence=is_sequence_shape(inputs.shape[1:]),
        integers=_is_whole(inputs),
        classes=classes,
    )


def _read_both(data: Arrays, source: Source, max_numbers: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    with source.open() as file:
        if file.read(2) != b"PK":
            raise source.refusal("is not an .npz file.", WHOLE)
        with source.decoded(WHOLE):
            _check_list(source, file)
            archive = zipfile.ZipFile(file)
        with archive:
            return (
                _read_member(source, archive, data.x, "x", max_numbers),
                _read_member(source, archive, data.y, "y", max_numbers),
            )


def _check_list(source: Source, file: BinaryIO) -> None:
    """Refuse a long list of arrays by what its end says, for zipfile reads all of it at once.

    zipfile believes the end, too: it takes as many bytes for the list as that says.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - END_BYTES - END_BYTES_WIDE))
    tail = file.read()
    place = tail.rfind(LIST_END)
    if place < 0 or len(tail) < place + 22:
        raise zipfile.BadZipFile("its list of arrays has no end")
    members, list_bytes = struct.unpack_from("<HL", tail, place + 10)
    wide = tail[max(0, place - END_BYTES_WIDE) : place]
    if len(wide) == END_BYTES_WIDE and wide.startswith(LIST_END_WIDE) and wide[56:].startswith(POINTER_WIDE):
        members, list_bytes = struct.unpack_from("<QQ", wide, 32)
    if members > MAX_MEMBERS or list_bytes > MAX_LIST:
        raise source.refusal(f"holds more than {MAX_MEMBERS:,} arrays, or names far too long.", WHOLE)


def _read_member(source: Source, archive: zipfile.ZipFile, name: str, key: str, max_numbers: int) -> npt.NDArray[Any]:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if name not in members:
        listed = ", ".join(map(shown, list(members)[:20])) or "there is none"
        raise source.refusal(f"has no array {shown(name)}.{near(name, members)}", f"an array of: {listed}", key=key)
    with source.decoded(WHOLE, key=key):
        with archive.open(members[name]) as stream:
            dtype, shape = _read_head(stream)
            head = stream.tell()
        _check_head(source, f"{shown(name)}", key, dtype, shape, max_numbers)
        if members[name].file_size != head + math.prod(shape) * dtype.itemsize:
            raise source.refusal(f"does not hold all of {shown(name)}.", WHOLE, key=key)
        with archive.open(members[name]) as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    _check_numbers(source, shown(name), key, array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_head(stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    version = np.lib.format.read_magic(stream)
    if version not in HEADS:
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not for numbers")
    shape, _, dtype = HEADS[version](stream)
    return dtype, shape


def _check_head(  # noqa: PLR0913, PLR0917 - the members of a head, and how to name them
    source: Source, name: str, key: str, dtype: np.dtype[Any], shape: tuple[int, ...], max_numbers: int
) -> None:
    if dtype.hasobject:
        words = f"has Python objects in {name}, and reading those could run code that came with them."
        raise source.refusal(words, "an array of numbers", key=key)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise source.refusal(
            f"has {dtype} in {name}, which is no number to train with.", "an array of numbers", key=key
        )
    if not shape or min(shape) < 1:
        words = f"has nothing in {name}: its shape is {list(shape)}."
        raise source.refusal(words, "an array with a row a sample", key=key)
    if math.prod(shape) > max_numbers:
        words = f"has {math.prod(shape):,} numbers in {name}; the limit here is {max_numbers:,}."
        raise source.refusal(words, f"at most {max_numbers:,} numbers", key=key)


def _check_numbers(source: Source, name: str, key: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind != "f":
        return
    rows_at_once = max(1, AT_ONCE * len(array) // array.size)
    for first in range(0, len(array), rows_at_once):
        wrong = np.argwhere(~np.isfinite(array[first : first + rows_at_once]))
        if len(wrong):
            place = [int(wrong[0][0]) + first, *map(int, wrong[0][1:])]
            words = f"has {array[tuple(place)]} at {place} of {name}."
            raise source.refusal(words, "finite numbers: fill or leave out what is missing", key=key)


def _classes_in(source: Source, data: Arrays, inputs: npt.NDArray[Any], targets: npt.NDArray[Any]) -> int | None:
    """Return the number of classes, or None where y has values."""
    is_one_a_step = targets.ndim == 2 and _has_steps(inputs) and targets.shape[1] == inputs.shape[1]
    if not _is_whole(targets) or not (targets.ndim == 1 or is_one_a_step):
        return None
    low, high = int(targets.min()), int(targets.max())
    expected = f"class indices from 0 to {MAX_CLASSES - 1}, of two classes or more; floats for a regression"
    if low < 0 or high >= MAX_CLASSES:
        words = f"has whole numbers from {low} to {high} in {shown(data.y)}, which are no class indices."
        raise source.refusal(words, expected, key="y")
    if high == 0:
        raise source.refusal(f"has a single class in {shown(data.y)}, 0.", expected, key="y")
    return high + 1


def _has_steps(inputs: npt.NDArray[Any]) -> bool:
    """Tell whether samples are sequences: of vectors, [T, F], or of tokens, [T]."""
    return inputs.ndim == 3 or (inputs.ndim == 2 and _is_whole(inputs))


def _is_whole(values: npt.NDArray[Any]) -> bool:
    return bool(values.dtype.kind in "biu")
