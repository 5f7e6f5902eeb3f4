"""Uploaded data sets: adding, finding, listing, deleting, and copying one to a file. What is in them is not looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

from sqlalchemy import Row, Select, delete, func, insert, select

from gradclinic.contract.job import LIVE, Page
from gradclinic.contract.uploaded import DatasetKind, UploadedDataset
from gradclinic.errors import DatasetInUse, NotFound
from store.ids import is_id, new_id
from store.pages import rows_of_page
from store.tables import dataset_chunks, datasets, jobs
from store.transactions import Reader, Writer

CHUNK_BYTES = 1024 * 1024
"""Of a row. Neither this process nor the database ever holds a whole upload in memory."""

ROWS_AT_ONCE = 4
"""Rows that are fetched at a time."""


def add_dataset(writer: Writer, *, name: str | None, kind: DatasetKind, content: IO[bytes]) -> UploadedDataset:
    """Add a data set with the content of a file, read from where that stands to its end."""
    dataset_id, digest, size = new_id(), hashlib.sha256(), 0
    row = {"id": dataset_id, "name": name, "kind": kind, "size": 0, "sha256": "", "created_at": writer.now()}
    writer.connection.execute(insert(datasets).values(row))
    for number, chunk in enumerate(_chunks_of(content)):
        digest.update(chunk)
        size += len(chunk)
        writer.connection.execute(insert(dataset_chunks).values(dataset_id=dataset_id, number=number, payload=chunk))
    known = {"size": size, "sha256": digest.hexdigest()}
    writer.connection.execute(datasets.update().where(datasets.c.id == dataset_id).values(known))
    return find_dataset(writer, dataset_id)


def find_dataset(reader: Reader, dataset_id: str) -> UploadedDataset:
    """Return a data set.

    Raises:
        NotFound: There is none with that id.
    """
    return _dataset_from(_row_of(reader, dataset_id, select(datasets)))


def hold_dataset(writer: Writer, dataset_id: str) -> None:
    """Make sure that a data set is there, and stays until this transaction has ended.

    Raises:
        NotFound: There is none with that id.
    """
    _row_of(writer, dataset_id, select(datasets).with_for_update(read=True))


def bytes_of_datasets(reader: Reader) -> int:
    """Return how much all data sets hold together."""
    return int(reader.connection.execute(select(func.coalesce(func.sum(datasets.c.size), 0))).scalar_one())


def list_datasets(reader: Reader, *, cursor: str | None = None, limit: int = 50) -> Page[UploadedDataset]:
    """Return a page of data sets, newest first.

    Raises:
        InvalidSpec: The cursor is none of ours.
    """
    rows, more = rows_of_page(reader, datasets, cursor=cursor, limit=limit)
    return Page[UploadedDataset](items=[_dataset_from(row) for row in rows], next_cursor=more)


def delete_dataset(writer: Writer, dataset_id: str) -> None:
    """Delete a data set. Jobs that have ended keep its id in their specs, and cannot be trained again.

    Raises:
        NotFound: There is none with that id.
        DatasetInUse: A live job trains on it.
    """
    # Held before the jobs are looked at: whoever is adding one on this data set has it held, too.
    _row_of(writer, dataset_id, select(datasets).with_for_update())
    # A job's document is the text that was written from its spec; an id cannot stand in quotes there by another way
    # than as a value of that key, in the data or in a label, which only makes this careful.
    used = select(jobs.c.id).where(jobs.c.status.in_(LIVE), jobs.c.document.contains(f'"dataset":"{dataset_id}"'))
    job_id = writer.connection.execute(used.limit(1)).scalar_one_or_none()
    if job_id is not None:
        raise DatasetInUse(f"Job {job_id} trains on data set {dataset_id}. Cancel it or wait for it, and delete then.")
    writer.connection.execute(delete(datasets).where(datasets.c.id == dataset_id))


def chunks_of_dataset(reader: Reader, dataset_id: str) -> Iterator[bytes]:
    """Yield the content of a data set, a chunk at a time; nothing for one that is not there."""
    query = select(dataset_chunks.c.payload).where(dataset_chunks.c.dataset_id == dataset_id)
    found = reader.connection.execute(
        query.order_by(dataset_chunks.c.number), execution_options={"yield_per": ROWS_AT_ONCE}
    )
    for row in found:
        yield row.payload


def _row_of(reader: Reader, dataset_id: str, query: Select[Any]) -> Row[Any]:
    query = query.where(datasets.c.id == dataset_id)
    row = reader.connection.execute(query).one_or_none() if is_id(dataset_id) else None
    if row is None:
        raise NotFound("dataset", dataset_id)
    return row


def _chunks_of(content: IO[bytes]) -> Iterable[bytes]:
    while chunk := content.read(CHUNK_BYTES):
        yield chunk


def _dataset_from(row: Row[Any]) -> UploadedDataset:
    return UploadedDataset(
        id=row.id, name=row.name, kind=row.kind, size=row.size, sha256=row.sha256, created_at=row.created_at
    )
