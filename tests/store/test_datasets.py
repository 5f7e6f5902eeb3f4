import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from gradclinic.contract.file_data import Table
from gradclinic.contract.job import Job
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.uploaded import UploadedDataset
from gradclinic.errors import DatasetInUse, NotFound
from gradclinic.files import facts_of
from store import dataset_files, datasets
from store.dataset_files import DatasetFiles, make_files
from store.datasets import (
    add_dataset,
    bytes_of_datasets,
    chunks_of_dataset,
    delete_dataset,
    find_dataset,
    hold_dataset,
    list_datasets,
)
from store.jobs import add_job, request_cancel
from store.settings import Settings
from store.tables import dataset_chunks
from store.transactions import Store
from tests.store.conftest import DOCUMENT

TABLE = b"x,y\n1,a\n2,b\n"
UNKNOWN = "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"


@pytest.fixture
def upload(store: Store) -> Callable[..., UploadedDataset]:
    def add(content: bytes = TABLE, name: str | None = "table.csv") -> UploadedDataset:
        with store.writing() as writer:
            return add_dataset(writer, name=name, kind="csv", content=io.BytesIO(content))

    return add


def content_of(store: Store, dataset_id: str) -> bytes:
    with store.reading() as reader:
        return b"".join(chunks_of_dataset(reader, dataset_id))


@pytest.mark.parametrize("size", [1, 99, 100, 101, 450, 1000])
def test_content_comes_back_as_it_went_in(store, upload, monkeypatch, size):
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 100)
    content = bytes(index % 251 for index in range(size))

    added = upload(content)

    assert content_of(store, added.id) == content
    assert (added.size, added.sha256, added.kind) == (size, hashlib.sha256(content).hexdigest(), "csv")
    with store.reading() as reader:
        assert find_dataset(reader, added.id) == added
        assert reader.connection.execute(select(func.count()).select_from(dataset_chunks)).scalar_one() == -(
            -size // 100
        )


def test_their_sizes_add_up(store, upload):
    with store.reading() as reader:
        assert bytes_of_datasets(reader) == 0
    upload(b"1" * 5)
    upload(b"1" * 7)
    with store.reading() as reader:
        assert bytes_of_datasets(reader) == 12


def test_one_that_is_held_is_not_deleted_until_the_job_is_there(store, upload):
    """On PostgreSQL the deletion waits for the other transaction; on SQLite there is one writer at a time anyway."""
    dataset = upload()
    data = {"type": "table", "dataset": dataset.id, "target": "y"}
    document = DOCUMENT | {"data": data}
    held, refused = threading.Event(), []

    def delete() -> None:
        held.wait(10)
        try:
            with store.writing() as writer:
                delete_dataset(writer, dataset.id)
        except DatasetInUse as error:
            refused.append(error)

    thread = threading.Thread(target=delete)
    thread.start()
    with store.writing() as writer:
        hold_dataset(writer, dataset.id)
        held.set()
        time.sleep(0.2)
        add_job(writer, document=document, spec=parse_spec(document), steps=1)
    thread.join(10)

    assert len(refused) == 1


def test_one_that_is_not_there_is_not_found(store):
    with store.writing() as writer:
        for wrong in (UNKNOWN, "no id", "\0"):
            for ask in (find_dataset, delete_dataset):
                with pytest.raises(NotFound):
                    ask(writer, wrong)


def test_pages_are_turned_newest_first(store, upload):
    ids = [upload(name=str(number)).id for number in range(5)]
    seen, cursor = [], None
    while True:
        with store.reading() as reader:
            page = list_datasets(reader, cursor=cursor, limit=2)
        seen += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_deleting_takes_the_content_along(store, upload):
    kept, gone = upload(), upload()
    with store.writing() as writer:
        delete_dataset(writer, gone.id)
    assert content_of(store, gone.id) == b""
    assert content_of(store, kept.id) == TABLE
    with store.reading() as reader:
        assert reader.connection.execute(text("SELECT count(*) FROM dataset_chunks")).scalar_one() == 1


def test_what_a_live_job_trains_on_cannot_be_deleted(store, upload, post_job: Callable[..., Job]):
    used, unused = upload(), upload()
    job = post_job(data={"type": "table", "dataset": used.id, "target": "y"})
    with store.writing() as writer:
        delete_dataset(writer, unused.id)
        with pytest.raises(DatasetInUse, match=job.id):
            delete_dataset(writer, used.id)
        request_cancel(writer, job.id)
        delete_dataset(writer, used.id)


class TestFiles:
    @pytest.fixture
    def files(self, store: Store, tmp_path: Path) -> DatasetFiles:
        return DatasetFiles(store, tmp_path / "deep" / "cache")

    def test_a_copy_is_made_once(self, files, upload, monkeypatch):
        added = upload()
        path = files.path_of(added.id)
        assert path.read_bytes() == TABLE
        monkeypatch.setattr(dataset_files, "chunks_of_dataset", None)
        assert files.path_of(added.id) == path
        assert files.path_of(upload().id) == path, "the same content is the same file"
        assert [found.name for found in path.parent.iterdir()] == [added.sha256]

    def test_one_that_was_deleted_is_not_found_though_its_copy_is_there(self, files, store, upload):
        added = upload()
        files.path_of(added.id)
        with store.writing() as writer:
            delete_dataset(writer, added.id)
        with pytest.raises(NotFound):
            files.path_of(added.id)

    def test_damaged_content_never_becomes_a_copy(self, files, store, upload):
        added = upload()
        with store.writing() as writer:
            writer.connection.execute(dataset_chunks.update().values(payload=b"something else"))
        with pytest.raises(RuntimeError, match="checksum"):
            files.path_of(added.id)
        assert list((files._folder).iterdir()) == []

    def test_old_copies_make_room(self, files, upload, monkeypatch):
        monkeypatch.setattr(dataset_files, "CACHE_BYTES", 3 * len(TABLE))
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

    def test_service_and_worker_find_uploads_and_the_data_root(
        self, store, upload, settings_for: Callable[..., Settings], tmp_path
    ):
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "t.csv").write_bytes(TABLE)
        files = make_files(store, settings_for(data_root=tmp_path / "root"))
        for place in ({"path": "t.csv"}, {"dataset": upload().id}):
            assert facts_of(Table(type="table", target="y", **place), files).classes == 2
