"""What kind of file an uploaded data set is: told from its media type, its name and how it begins, never from more."""

from __future__ import annotations

from pathlib import PurePath

from gradclinic.contract.limits import Limits
from gradclinic.contract.uploaded import DatasetKind
from gradclinic.errors import Fault, InvalidSpec
from service.errors import UnsupportedContent
from service.uploading import Received

MEDIA_TYPES: dict[str, DatasetKind] = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/x-npz": "npz",
    "application/zip": "npz",
}
SUFFIXES: dict[str, DatasetKind] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
MAGIC: dict[bytes, DatasetKind] = {b"PAR1": "parquet", b"PK\x03\x04": "npz"}
"""How files begin that cannot be taken for another kind."""


def kind_of_dataset(received: Received, name: str | None, limits: Limits) -> DatasetKind:  # noqa: ARG001 - a spec that uses it meets them
    """Tell what kind of file was uploaded under a name.

    Raises:
        UnsupportedContent: It cannot be told.
        InvalidSpec: It is not of the kind that it is said to be.
    """
    start = received.content.read(4)
    media_type = received.media_type.partition(";")[0].strip().lower()
    said = MEDIA_TYPES.get(media_type) or SUFFIXES.get(PurePath(name or "").suffix.lower())
    found = MAGIC.get(start)
    if said is None and found is None:
        raise UnsupportedContent(
            f"It cannot be told what kind of file this is: {media_type[:80] or 'no media type'} came, and it does not begin "
            f"like Parquet or npz. Send `Content-Type: text/csv`, or a name that ends with {', '.join(SUFFIXES)}."
        )
    if said is not None and found != (None if said == "csv" else said):
        message = f"This is said to be {said}, and begins like {found or 'something else'}: {start!r}."
        raise InvalidSpec([Fault("", message, f"the content of a {said} file")])
    return said or found  # type: ignore[return-value]  # one of them is there, as was found above
