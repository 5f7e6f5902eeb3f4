import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gradclinic.contract.file_data import Table
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.uploaded import Upload
from gradclinic.errors import InvalidSpec, NotFound, UploadInUse
from gradclinic.files import facts_of
from store import upload_files
from store import uploads as uploads_module
from store.jobs import add_job, request_cancel
from store.settings import Settings
from store.transactions import Store
from store.upload_files import UploadFiles, make_files
from store.uploads import ARTIFACTS, DATASETS, Uploads, bytes_of_uploads
from tests.store.conftest import DOCUMENT

TABLE = b"x,y\n1,a\n2,b\n"
UNKNOWN = "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"


KINDS = {"dataset": "csv", "artifact": "graph"}


@pytest.fixture(params=[DATASETS, ARTIFACTS], ids=["datasets", "artifacts"])
def uploads(request: pytest.FixtureRequest) -> Uploads[Any]:
    return request.param


@pytest.fixture
def upload(store: Store, uploads: Uploads[Any]) -> Callable[..., Upload]:
    def add(content: bytes = TABLE, name: str | None = "table.csv") -> Upload:
        with store.writing() as writer:
            return uploads.add(writer, name=name, kind=KINDS[uploads.sort], content=io.BytesIO(content))

    return add


def content_of(store: Store, uploads: Uploads[Any], upload_id: str) -> bytes:
    with store.reading() as reader:
        return b"".join(uploads.chunks_of(reader, upload_id))


def using(uploads: Uploads[Any], upload_id: str) -> dict[str, Any]:
    """The part of a document that names an upload."""
    if uploads is DATASETS:
        return {"data": {"type": "table", "dataset": upload_id, "target": "y"}}
    return {"model": {"type": "graph", "artifact": upload_id}}


@pytest.mark.parametrize("size", [1, 99, 100, 101, 450, 1000])
def test_content_comes_back_as_it_went_in(store, uploads, upload, monkeypatch, size):
    monkeypatch.setattr(uploads_module, "CHUNK_BYTES", 100)
    content = bytes(index % 251 for index in range(size))

    added = upload(content)

    assert content_of(store, uploads, added.id) == content
    assert (added.size, added.sha256, added.kind) == (size, hashlib.sha256(content).hexdigest(), KINDS[uploads.sort])
    with store.reading() as reader:
        assert uploads.find(reader, added.id) == added
        rows = reader.connection.execute(select(func.count()).select_from(uploads.chunks)).scalar_one()
        assert rows == -(-size // 100)


def test_the_sizes_of_all_sorts_add_up(store):
    with store.writing() as writer:
        assert bytes_of_uploads(writer) == 0
        for size, uploads in ((5, DATASETS), (7, DATASETS), (30, ARTIFACTS)):
            uploads.add(writer, name=None, kind=KINDS[uploads.sort], content=io.BytesIO(b"1" * size))
        assert bytes_of_uploads(writer) == 42


def test_one_that_is_held_is_not_deleted_until_the_job_is_there(store, uploads, upload):
    """On PostgreSQL the deletion waits for the other transaction; on SQLite there is one writer at a time anyway."""
    wanted = upload()
    document = DOCUMENT | using(uploads, wanted.id)
    held, refused = threading.Event(), []

    def delete() -> None:
        held.wait(10)
        try:
            with store.writing() as writer:
                uploads.delete(writer, wanted.id)
        except UploadInUse as error:
            refused.append(error)

    thread = threading.Thread(target=delete)
    thread.start()
    with store.writing() as writer:
        uploads.hold(writer, wanted.id)
        held.set()
        time.sleep(0.2)
        add_job(writer, document=document, spec=parse_spec(DOCUMENT), steps=1)
    thread.join(10)

    assert len(refused) == 1


def test_one_that_is_not_there_is_not_found(store, uploads):
    with store.writing() as writer:
        for wrong in (UNKNOWN, "no id", "\0"):
            for ask in (uploads.find, uploads.delete, uploads.hold):
                with pytest.raises(NotFound, match=f"/v1/{uploads.sort}s"):
                    ask(writer, wrong)


def test_pages_are_turned_newest_first(store, uploads, upload):
    ids = [upload(name=str(number)).id for number in range(5)]
    seen, cursor = [], None
    while True:
        with store.reading() as reader:
            page = uploads.list_page(reader, cursor=cursor, limit=2)
        seen += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_deleting_takes_the_content_along(store, uploads, upload):
    kept, gone = upload(), upload()
    with store.writing() as writer:
        uploads.delete(writer, gone.id)
    assert content_of(store, uploads, gone.id) == b""
    assert content_of(store, uploads, kept.id) == TABLE
    with store.reading() as reader:
        assert reader.connection.execute(select(func.count()).select_from(uploads.chunks)).scalar_one() == 1


def test_what_a_live_job_uses_cannot_be_deleted(store, uploads, upload):
    used, unused = upload(), upload()
    document = DOCUMENT | using(uploads, used.id)
    with store.writing() as writer:
        job = add_job(writer, document=document, spec=parse_spec(DOCUMENT), steps=1)
        uploads.delete(writer, unused.id)
        with pytest.raises(uploads.in_use, match=job.id):
            uploads.delete(writer, used.id)
        request_cancel(writer, job.id)
        uploads.delete(writer, used.id)


class TestFiles:
    @pytest.fixture
    def files(self, store: Store, uploads: Uploads[Any], tmp_path: Path) -> UploadFiles:
        return UploadFiles(store, uploads, tmp_path / "deep" / "cache")

    def test_a_copy_is_made_once(self, files, upload, monkeypatch):
        added = upload()
        path = files.path_of(added.id)
        assert path.read_bytes() == TABLE
        monkeypatch.setattr(Uploads, "chunks_of", None)
        assert files.path_of(added.id) == path
        assert files.path_of(upload().id) == path, "the same content is the same file"
        assert [found.name for found in path.parent.iterdir()] == [added.sha256]

    def test_one_that_was_deleted_is_not_found_though_its_copy_is_there(self, files, store, uploads, upload):
        added = upload()
        files.path_of(added.id)
        with store.writing() as writer:
            uploads.delete(writer, added.id)
        with pytest.raises(NotFound):
            files.path_of(added.id)

    def test_damaged_content_never_becomes_a_copy(self, files, store, uploads, upload):
        added = upload()
        with store.writing() as writer:
            writer.connection.execute(uploads.chunks.update().values(payload=b"something else"))
        with pytest.raises(RuntimeError, match="checksum"):
            files.path_of(added.id)
        assert list((files._folder).iterdir()) == []

    def test_old_copies_make_room(self, files, upload, monkeypatch):
        monkeypatch.setattr(upload_files, "CACHE_BYTES", 3 * len(TABLE))
        paths = [files.path_of(upload(TABLE + bytes([48 + number])).id) for number in range(3)]
        for age, path in enumerate(paths):
            then = time.time() - 100_000 + age
            os.utime(path, (then, then))
        recent = files.path_of(upload(TABLE + b"5").id)
        assert [path.exists() for path in paths] == [False, False, True]
        last = files.path_of(upload(TABLE + b"6").id)
        assert [path.exists() for path in (paths[2], recent, last)] == [False, True, True]
        files.path_of(upload(TABLE + b"7").id)
        assert recent.exists(), "it was used just now"


def test_service_and_worker_find_uploads_and_the_data_root(store, settings_for: Callable[..., Settings], tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t.csv").write_bytes(TABLE)
    files = make_files(store, settings_for(data_root=tmp_path / "root"))
    with store.writing() as writer:
        dataset = DATASETS.add(writer, name=None, kind="csv", content=io.BytesIO(TABLE))
        artifact = ARTIFACTS.add(writer, name=None, kind="graph", content=io.BytesIO(b"a graph"))
    for place in ({"path": "t.csv"}, {"dataset": dataset.id}):
        assert facts_of(Table(type="table", target="y", **place), files).classes == 2
    assert files.artifact(artifact.id).read_bytes() == b"a graph"
    with pytest.raises(InvalidSpec, match="/model/artifact"):
        files.artifact(dataset.id)
