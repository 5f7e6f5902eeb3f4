"""A worker trains on uploads and on files, and says in the job's own words when one is gone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradclinic.contract.job import Job
from gradclinic.contract.parse import parse_spec
from store.bell import TASK_TRAIN
from store.diagnoses import find_diagnosis
from store.jobs import add_job, find_job
from store.runs import baseline_of
from store.settings import Settings
from store.tables import datasets
from store.transactions import Store
from store.uploads import DATASETS
from tests.worker.conftest import DOCUMENT
from worker.app import make_app

TABLE = b"x,z,y\n" + b"".join(b"%d,%d,%s\n" % (row, -row, b"abc"[row % 3 : row % 3 + 1]) for row in range(60))


@pytest.fixture
def train(settings_for: Callable[..., Settings], store: Store, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Train a job on data, in this process."""
    app = make_app(settings_for(data_root=tmp_path / "root"))

    def run(data: dict[str, Any], **changes: Any) -> Job:
        document = DOCUMENT | {"data": data, "training": {"steps": 10}, "verification": {"fixes": 0}} | changes
        with store.writing() as writer:
            job_id = add_job(writer, document=document, spec=parse_spec(document), steps=10).id
        app.tasks[TASK_TRAIN](job_id)
        with store.reading() as reader:
            return find_job(reader, job_id)

    yield run
    app.store.close()
    app.close()


def test_an_upload_is_trained_on(train: Callable[..., Job], store: Store):
    with store.writing() as writer:
        dataset_id = DATASETS.add(writer, name="t.csv", kind="csv", content=io.BytesIO(TABLE)).id
    job = train({"type": "table", "dataset": dataset_id, "target": "y"})
    assert (job.status, job.error) == ("succeeded", None)


def test_a_file_under_the_data_root_is_trained_on(train: Callable[..., Job], tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t.csv").write_bytes(TABLE)
    assert train({"type": "table", "path": "t.csv", "target": "y"}).status == "succeeded"


def test_a_file_that_is_gone_fails_the_job_in_words(train: Callable[..., Job], tmp_path: Path):
    (tmp_path / "root").mkdir()
    job = train({"type": "table", "path": "t.csv", "target": "y"})
    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "invalid_spec")
    assert job.error.detail == "/data/path: There is no 't.csv' under the data root."


def test_a_file_with_more_classes_than_when_it_was_posted_fails_the_job_at_its_place(
    train: Callable[..., Job], tmp_path: Path
):
    (tmp_path / "root").mkdir()
    rows = b"".join(b"%d,%d,c%d\n" % (row, -row, row % 40) for row in range(80))
    (tmp_path / "root" / "t.csv").write_bytes(b"x,z,y\n" + rows)
    job = train({"type": "table", "path": "t.csv", "target": "y"})
    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "invalid_spec")
    assert "too few for the 40 classes" in job.error.detail


def test_an_upload_deleted_meanwhile_fails_the_job_in_words(train: Callable[..., Job], store: Store):
    with store.writing() as writer:
        dataset_id = DATASETS.add(writer, name="t.csv", kind="csv", content=io.BytesIO(TABLE)).id
        DATASETS.delete(writer, dataset_id)
    job = train({"type": "table", "dataset": dataset_id, "target": "y"})
    assert job.error is not None
    assert dataset_id in job.error.detail


def test_a_damaged_upload_is_our_fault_and_never_trained_on(train: Callable[..., Job], store: Store):
    with store.writing() as writer:
        dataset_id = DATASETS.add(writer, name="t.csv", kind="csv", content=io.BytesIO(TABLE)).id
        writer.connection.execute(datasets.update().values(sha256="0" * 64))
    job = train({"type": "table", "dataset": dataset_id, "target": "y"})
    assert job.error is not None
    assert job.error.type == "internal_error"


def test_fixes_are_proposed_for_what_is_trained_on_an_upload(train: Callable[..., Job], store: Store):
    """Whether a patched spec is right can only be told with the upload at hand."""
    rows = b"".join(b"%d,%d,%s\n" % (row % 7, -row % 5, b"abc"[row % 3 : row % 3 + 1]) for row in range(120))
    with store.writing() as writer:
        dataset_id = DATASETS.add(writer, name="t.csv", kind="csv", content=io.BytesIO(b"x,z,y\n" + rows)).id
    hidden = [{"type": "Linear", "out_features": 16}, {"type": "Sigmoid"}]
    model = {"layers": [{"type": "Repeat", "times": 20, "layers": hidden}, {"type": "Linear", "out_features": 3}]}
    job = train({"type": "table", "dataset": dataset_id, "target": "y"}, model=model, training={"steps": 60})
    with store.reading() as reader:
        diagnosis = find_diagnosis(reader, baseline_of(reader, job.id).id)
    assert diagnosis.findings
    assert diagnosis.fixes
