"""Files of every kind that a data set can come in, made on the spot, and reading them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from gradclinic.contract.base import SpecModel
from gradclinic.contract.data import AnyData, Data
from gradclinic.contract.parse import parse_document
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.files import Files, RawData, facts_of, read_rows


class _Holder(SpecModel):
    data: Data


def data_of(**keywords: Any) -> AnyData:
    """Parse a data set as it is posted."""
    return parse_document(_Holder, {"data": keywords}).data


def rows_of(root: Path | Files, **keywords: Any) -> RawData:
    """Read a data set from a data root."""
    return read_rows(data_of(**keywords), root if isinstance(root, Files) else Files(root))


def fault_of(root: Path | Files | None, **keywords: Any) -> Fault:
    """Return the one fault of a data set; reading its facts and reading its rows tell the same."""
    found = []
    for read in (facts_of, read_rows):
        try:
            read(data_of(**keywords), root if isinstance(root, Files) else Files(root))
        except InvalidSpec as error:
            found.append(error.faults)
    assert len(found) == 2, "both ways to read have to refuse"
    assert found[0] == found[1]
    (fault,) = found[0]
    return fault


def write_idx(path: Path, array: npt.NDArray[Any], kind: int = 0x08, *, packed: bool = False) -> bytes:
    """Write an array in MNIST's format, and return what was written."""
    head = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    raw = gzip.compress(raw, mtime=0) if packed else raw
    path.write_bytes(raw)
    return raw


def write_csv(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    parquet.write_table(pa.table(dict(columns)), path)


def write_images(
    folder: Path, classes: Mapping[str, int], size: tuple[int, int] = (10, 8), suffix: str = "png"
) -> None:
    """Write so many images into a folder for each class; the class's place is in their colour."""
    for place, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", size, (40 * place, 100, index)).save(folder / name / f"{index:03}.{suffix}")


def mnist_like(root: Path, rows: int = 12, *, packed: bool = False) -> None:
    """Write `images` and `labels`, of three classes."""
    generator = np.random.default_rng(0)
    write_idx(root / "images", generator.integers(0, 256, (rows, 5, 4), np.uint8), packed=packed)
    write_idx(root / "labels", (np.arange(rows) % 3).astype(np.uint8), packed=packed)
