"""The list of all readers: which one reads which data set."""

from __future__ import annotations

from gradclinic.contract.data import AnyData
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.files.files import Files
from gradclinic.files.raw import RawData


def read_rows(data: AnyData, files: Files | None = None) -> RawData:  # noqa: ARG001 - the readers follow
    """Read all rows of a data set that a user brings.

    Raises:
        InvalidSpec: A file is missing, cannot be read, or holds something else.
    """
    raise InvalidSpec([Fault("/data/type", f"{data.type} cannot be read yet.")])
