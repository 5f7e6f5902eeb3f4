"""The frame of a safetensors file: which tensors it holds where, read and checked without reading them.

The form is eight bytes of length, a JSON header, and the tensors' bytes one after the other
(https://github.com/huggingface/safetensors#format). The library of that name reads them later and checks again; here it would
be one more thing that a client without torch has to install, and it would read a header of a hundred megabytes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gradclinic.contract.parse import load_json
from gradclinic.errors import Fault, InvalidSpec

ARTIFACT = "/model/artifact"
"""Where in a spec an artifact is named, and so where its faults stand."""

MAX_HEADER = 8 * 1024 * 1024
"""Bytes of JSON, the graph included; a model of a thousand layers has one."""

MAX_DIMENSIONS = 8

ITEM_BYTES = {"F32": 4, "I64": 8, "BOOL": 1}
"""The kinds of numbers that a tensor may have, and the bytes of each."""

AGAIN = "an artifact that gradclinic.export_artifact wrote"


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of the file: its `dtype` (F32, I64, BOOL) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Return how many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return how many bytes they take."""
        return self.numbers * ITEM_BYTES[self.dtype]


def refusal(detail: str, expected: str = AGAIN) -> InvalidSpec:
    """Make the error of an artifact that cannot be used."""
    return InvalidSpec([Fault(ARTIFACT, f"The artifact: {detail}", expected)])


def read_frame(source: Path | IO[bytes]) -> tuple[Mapping[str, str], dict[str, StoredTensor]]:
    """Read the metadata and the tensors' places of a safetensors file, or of one that is open.

    Raises:
        InvalidSpec: It is none, or holds what is not taken here.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= size - 8:
            raise refusal("this is no safetensors file, or it is cut off.")
        if length > MAX_HEADER:
            raise refusal(
                f"its header has {length:,} bytes; the limit here is {MAX_HEADER:,}.", f"at most {MAX_HEADER:,} bytes"
            )
        raw = file.read(length)
    try:
        header = load_json(raw)
    except InvalidSpec as wrong:
        raise refusal(f"its header cannot be read. {wrong.faults[0].detail}") from None
    if not isinstance(header, dict):
        raise refusal("its header is no JSON object.")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refusal("its metadata are not texts.")
    places = {name: _place(name, entry) for name, entry in header.items()}
    _check_places(places, size - 8 - length)
    return metadata, {name: tensor for name, (tensor, _, _) in places.items()}


def _place(name: str, entry: Any) -> tuple[StoredTensor, int, int]:
    """Return a tensor with the first byte and the one after the last, counted from the end of the header."""
    told = name[:100]
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise refusal(f"its header does not say what {told!r} is.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise refusal(f"the tensor {told!r} is of type {str(dtype)[:20]}.", "float32, int64 or bool: model.float()")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise refusal(f"the shape of the tensor {told!r} is none.", f"at most {MAX_DIMENSIONS} sizes")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise refusal(f"the place of the tensor {told!r} is none.")
    tensor = StoredTensor(dtype, tuple(shape))
    if offsets[1] - offsets[0] != tensor.bytes:
        raise refusal(f"the tensor {told!r} does not have the bytes that its shape asks for.")
    return tensor, offsets[0], offsets[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**53 for value in values)


def _check_places(places: Mapping[str, tuple[StoredTensor, int, int]], size: int) -> None:
    """Refuse tensors that overlap, leave a gap or lie outside of the `size` bytes behind the header."""
    end = 0
    for _, first, after in sorted(places.values(), key=lambda place: place[1:]):
        if first != end:
            raise refusal("its tensors do not lie one after the other.")
        end = after
    if end != size:
        raise refusal(f"its tensors take {end:,} bytes, and there are {size:,}: it is cut off, or something was added.")
