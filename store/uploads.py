"""Uploads, data sets and artifacts alike: adding, finding, listing, deleting them. What is in them is not looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

from sqlalchemy import Row, Select, Table, delete, func, insert, select

from gradclinic.contract.job import LIVE, Page
from gradclinic.contract.uploaded import Upload, UploadedArtifact, UploadedDataset
from gradclinic.errors import ArtifactInUse, DatasetInUse, NotFound, UploadInUse
from store.ids import is_id, new_id
from store.pages import rows_of_page
from store.tables import artifact_chunks, artifacts, dataset_chunks, datasets, jobs
from store.transactions import Reader, Writer

CHUNK_BYTES = 1024 * 1024
"""Of a row. Neither this process nor the database ever holds a whole upload in memory."""

ROWS_AT_ONCE = 4
"""Rows that are fetched at a time."""

UploadT = TypeVar("UploadT", bound=Upload)


@dataclass(frozen=True)
class Uploads(Generic[UploadT]):
    """The uploads of one sort: a pair of tables, and what is said of them.

    Args:
        sort: The key by which a spec names one, and the name of the chunks' column.
        words: The same in a sentence.
        table: A row for each.
        chunks: Their contents.
        view: What a row is returned as.
        in_use: Raised where one cannot be deleted.
    """

    sort: str
    words: str
    table: Table
    chunks: Table
    view: type[UploadT]
    in_use: type[UploadInUse]

    def add(self, writer: Writer, *, name: str | None, kind: str, content: IO[bytes]) -> UploadT:
        """Add an upload with the content of a file, read from where that stands to its end."""
        upload_id, digest, size = new_id(), hashlib.sha256(), 0
        row = {"id": upload_id, "name": name, "kind": kind, "size": 0, "sha256": "", "created_at": writer.now()}
        writer.connection.execute(insert(self.table).values(row))
        for number, chunk in enumerate(_chunks_of(content)):
            digest.update(chunk)
            size += len(chunk)
            values = {f"{self.sort}_id": upload_id, "number": number, "payload": chunk}
            writer.connection.execute(insert(self.chunks).values(values))
        known = {"size": size, "sha256": digest.hexdigest()}
        writer.connection.execute(self.table.update().where(self.table.c.id == upload_id).values(known))
        return self.find(writer, upload_id)

    def find(self, reader: Reader, upload_id: str) -> UploadT:
        """Return what is known of an upload.

        Raises:
            NotFound: There is none with that id.
        """
        return self._view_of(self._row_of(reader, upload_id, select(self.table)))

    def hold(self, writer: Writer, upload_id: str) -> None:
        """Make sure that an upload is there, and stays until this transaction has ended.

        Raises:
            NotFound: There is none with that id.
        """
        self._row_of(writer, upload_id, select(self.table).with_for_update(read=True))

    def list_page(self, reader: Reader, *, cursor: str | None = None, limit: int = 50) -> Page[UploadT]:
        """Return a page of uploads, newest first.

        Raises:
            InvalidSpec: The cursor is none of ours.
        """
        rows, more = rows_of_page(reader, self.table, cursor=cursor, limit=limit)
        return Page[UploadT](items=[self._view_of(row) for row in rows], next_cursor=more)

    def delete(self, writer: Writer, upload_id: str) -> None:
        """Delete an upload. Jobs that have ended keep its id in their specs, and cannot be trained again.

        Raises:
            NotFound: There is none with that id.
            UploadInUse: A live job uses it.
        """
        # Held before the jobs are looked at: whoever is adding one that uses this upload has it held, too.
        self._row_of(writer, upload_id, select(self.table).with_for_update())
        # A job's document is the text that was written from its spec; an id cannot stand in quotes there by another way
        # than as a value of that key, in data or model or in a label, which only makes this careful.
        named = jobs.c.document.contains(f'"{self.sort}":"{upload_id}"')
        used = select(jobs.c.id).where(jobs.c.status.in_(LIVE), named)
        job_id = writer.connection.execute(used.limit(1)).scalar_one_or_none()
        if job_id is not None:
            raise self.in_use(
                f"Job {job_id} trains on {self.words} {upload_id}. Cancel it or wait for it, and delete then."
            )
        writer.connection.execute(delete(self.table).where(self.table.c.id == upload_id))

    def chunks_of(self, reader: Reader, upload_id: str) -> Iterator[bytes]:
        """Yield the content of an upload, a chunk at a time; nothing for one that is not there."""
        query = select(self.chunks.c.payload).where(self.chunks.c[f"{self.sort}_id"] == upload_id)
        query = query.order_by(self.chunks.c.number).execution_options(yield_per=ROWS_AT_ONCE)
        with reader.connection.execute(query) as found:  # closed also for whoever takes only some
            for row in found:
                yield row.payload

    def _row_of(self, reader: Reader, upload_id: str, query: Select[Any]) -> Row[Any]:
        query = query.where(self.table.c.id == upload_id)
        row = reader.connection.execute(query).one_or_none() if is_id(upload_id) else None
        if row is None:
            raise NotFound(self.sort, upload_id)
        return row

    def _view_of(self, row: Row[Any]) -> UploadT:
        return self.view(
            id=row.id, name=row.name, kind=row.kind, size=row.size, sha256=row.sha256, created_at=row.created_at
        )


DATASETS = Uploads("dataset", "data set", datasets, dataset_chunks, UploadedDataset, DatasetInUse)
ARTIFACTS = Uploads("artifact", "artifact", artifacts, artifact_chunks, UploadedArtifact, ArtifactInUse)


def bytes_of_uploads(reader: Reader) -> int:
    """Return how much all uploads of every sort hold together."""
    held = (select(func.coalesce(func.sum(table.c.size), 0)) for table in (datasets, artifacts))
    return sum(int(reader.connection.execute(query).scalar_one()) for query in held)


def _chunks_of(content: IO[bytes]) -> Iterable[bytes]:
    while chunk := content.read(CHUNK_BYTES):
        yield chunk
