"""The list of all readers: which one reads which data set."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from gradclinic.contract.data import AnyData
from gradclinic.contract.dataset import Dataset, RawFacts
from gradclinic.contract.file_data import Arrays, Idx, ImageFolder, Inline, Table
from gradclinic.files.arrays import read_arrays
from gradclinic.files.files import Files
from gradclinic.files.idx import read_idx
from gradclinic.files.images import list_images, look_at_images, read_images
from gradclinic.files.inline import read_inline
from gradclinic.files.raw import RawData
from gradclinic.files.table import read_table

READERS: dict[type[Dataset], Callable[[Any, Files], RawData]] = {
    ImageFolder: read_images,
    Idx: read_idx,
    Table: read_table,
    Arrays: read_arrays,
}


def read_rows(data: AnyData, files: Files | None = None) -> RawData:
    """Read all rows of a data set that a user brings, in their own order.

    Raises:
        InvalidSpec: A file is missing, cannot be read, or holds something else.
    """
    if isinstance(data, Inline):
        return read_inline(data)
    return READERS[type(data)](data, files or Files())


def read_facts(data: AnyData, files: Files | None = None) -> RawFacts:
    """Return what reading a data set will give. A file that was read before and has not changed is not read again.

    Raises:
        InvalidSpec: As `read_rows` does; of a large folder of images, though, only the heads are looked at.
    """
    files = files or Files()
    if isinstance(data, ImageFolder):
        listing = list_images(data, files)
        return files.remembered((_asked(data), listing.stamp), lambda: look_at_images(data, listing))
    return files.remembered((_asked(data), _stamps(data, files)), lambda: read_rows(data, files).facts())


def _asked(data: AnyData) -> Hashable:
    """Return what of a spec's data decides how its files are read: not how the rows are used after that."""
    return data.type, data.model_dump_json(exclude=set(Dataset.model_fields))


def _stamps(data: AnyData, files: Files) -> Hashable:
    match data:
        case Idx():
            return files.find(data.images, "images").stamp(), files.find(data.labels, "labels").stamp()
        case Table() | Arrays():
            return files.find_for(data).stamp()
        case _:
            return ()
