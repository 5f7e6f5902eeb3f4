"""Uploading data sets, and training on them: over both databases."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from gradclinic.contract.uploaded import UploadedDataset
from gradclinic.errors import NotFound
from service import submission
from store.jobs import count_queued
from store.uploads import DATASETS
from tests.service.hands import SPEC, Service

TABLE = b"x,z,y\n" + b"".join(b"%d,%d,%s\n" % (row, -row, b"abc"[row % 3 : row % 3 + 1]) for row in range(30))
CSV = {"Content-Type": "text/csv"}


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones((30, 4)), y=np.arange(30) % 3)
    return buffer.getvalue()


def upload(service: Service, content: Any = TABLE, query: str = "", **headers: str) -> httpx2.Response:
    sent = {"Content-Type": "text/csv"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return service.client.post(f"/v1/datasets{query}", content=content, headers=sent)


def spec_on(dataset_id: str, **more: Any) -> dict[str, Any]:
    return SPEC | {"data": {"type": "table", "dataset": dataset_id, "target": "y"} | more}


def folder_of(service: Service) -> Path:
    folder: Path = service.app.state.settings.data_dir / "cache"
    return folder


def test_an_upload_is_stored_and_shown(service: Service):
    answer = upload(service, query="?name=my%20table.csv")
    assert answer.status_code == 201
    dataset = UploadedDataset.model_validate_json(answer.content)
    assert (dataset.name, dataset.kind, dataset.size) == ("my table.csv", "csv", len(TABLE))
    assert dataset.sha256 == hashlib.sha256(TABLE).hexdigest()
    assert answer.headers["Location"] == dataset.links["self"] == f"/v1/datasets/{dataset.id}"
    assert service.client.get(answer.headers["Location"]).json() == answer.json()


def test_uploads_are_listed_newest_first(service: Service):
    ids = [upload(service, query=f"?name={number}").json()["id"] for number in range(3)]
    first = service.client.get("/v1/datasets?limit=2").json()
    assert [item["id"] for item in first["items"]] == ids[:0:-1]
    following = service.client.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]})
    assert following.json()["items"][0]["id"] == ids[0]
    assert "next" in service.client.get("/v1/datasets?limit=2").headers["Link"]
    assert service.client.get("/v1/datasets?cursor=wrong").json()["errors"][0]["pointer"] == "/query/cursor"
    assert service.client.get("/v1/datasets?limit=0").status_code == 422


def test_a_spec_on_an_upload_is_checked_against_what_is_in_it(service: Service):
    dataset_id = upload(service).json()["id"]
    resolved = service.client.post("/v1/specs/validate", json=spec_on(dataset_id)).json()
    assert (resolved["input_shape"], resolved["classes"], resolved["train_rows"]) == ([2], 3, 24)
    assert service.post(spec_on(dataset_id))["status"] == "queued"
    wrong = service.client.post("/v1/jobs", json=spec_on(dataset_id, target="Y"))
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/data/target")
    assert "Did you mean 'y'?" in wrong.json()["errors"][0]["detail"]
    few = SPEC["model"] | {"layers": [{"type": "Linear", "out_features": 2}]}
    answer = service.client.post("/v1/jobs", json=spec_on(dataset_id) | {"model": few})
    assert answer.status_code == 422, "there are three classes"


def test_arrays_are_uploaded_alike(service: Service):
    answer = upload(service, npz(), Content_Type="application/x-npz")
    spec = SPEC | {"data": {"type": "arrays", "dataset": answer.json()["id"]}}
    assert service.client.post("/v1/specs/validate", json=spec).json()["input_shape"] == [4]


def test_a_deleted_data_set_is_gone(service: Service):
    dataset_id = upload(service).json()["id"]
    assert service.client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    for method in ("GET", "DELETE"):
        answer = service.client.request(method, f"/v1/datasets/{dataset_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "/v1/datasets" in answer.json()["detail"]
    refused = service.client.post("/v1/jobs", json=spec_on(dataset_id))
    assert refused.json()["errors"][0]["pointer"] == "/data/dataset"


def test_what_a_live_job_trains_on_is_not_deleted(service: Service):
    dataset_id = upload(service).json()["id"]
    job = service.post(spec_on(dataset_id))
    answer = service.client.delete(f"/v1/datasets/{dataset_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
    assert job["id"] in answer.json()["detail"]
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert service.client.delete(f"/v1/datasets/{dataset_id}").status_code == 204


@pytest.mark.parametrize(
    ("content", "media_type", "name", "kind"),
    [
        (TABLE, "text/csv; charset=utf-8", None, "csv"),
        (TABLE, "application/octet-stream", "a.CSV", "csv"),
        (TABLE, "application/x-www-form-urlencoded", "a.csv", "csv"),
        (npz(), "application/octet-stream", "a.npz", "npz"),
        (npz(), "application/zip", None, "npz"),
        (npz(), "application/octet-stream", None, "npz"),
        (b"PAR1....PAR1", "application/octet-stream", None, "parquet"),
        (b"PAR1....PAR1", "application/vnd.apache.parquet", None, "parquet"),
    ],
)
def test_the_kind_is_told_from_what_is_there(embedded: Service, content, media_type, name, kind):
    answer = upload(embedded, content, f"?name={name}" if name else "", Content_Type=media_type)
    assert (answer.status_code, answer.json()["kind"]) == (201, kind)


@pytest.mark.parametrize(
    ("content", "media_type", "name", "status"),
    [
        (TABLE, "application/octet-stream", None, 415),
        (TABLE, "application/octet-stream", "table.xlsx", 415),
        (TABLE, "application/x-npz", None, 422),
        (TABLE, "application/octet-stream", "a.parquet", 422),
        (npz(), "text/csv", None, 422),
        (b"", "text/csv", None, 422),
    ],
)
def test_what_is_not_what_it_says_is_refused(embedded: Service, content, media_type, name, status):
    answer = upload(embedded, content, f"?name={name}" if name else "", Content_Type=media_type)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_name_that_cannot_be_stored_is_refused(embedded: Service):
    assert upload(embedded, query="?name=%00").json()["errors"][0]["pointer"] == "/query/name"
    assert upload(embedded, query=f"?name={'n' * 201}").status_code == 422


@pytest.mark.parametrize("count_first", [False, True])
def test_an_upload_over_the_limit_is_refused_while_it_comes(serve: Callable[..., Service], count_first: bool):
    service = serve(max_upload=2_000_000)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        while sent < 20_000_000:
            sent += 100_000
            yield b"1" * 100_000

    answer = upload(service, b"1" * 2_000_001 if count_first else pieces())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "2,000,000 bytes" in answer.json()["detail"]
    assert upload(service, b"1" * 2_000_000).status_code == 201


def test_nothing_of_an_upload_stays_on_the_disk_of_the_service(serve: Callable[..., Service]):
    service = serve(max_upload=10_000)
    upload(service)
    upload(service, b"1" * 20_000)
    upload(service, b"")
    assert list(folder_of(service).iterdir()) == []
    service.post(spec_on(upload(service).json()["id"]))
    assert [path.name for path in (folder_of(service) / "datasets").iterdir()] == [hashlib.sha256(TABLE).hexdigest()]


def test_uploads_are_refused_once_all_together_are_too_large(serve: Callable[..., Service]):
    service = serve(max_datasets_bytes=2 * len(TABLE))
    first = upload(service, Idempotency_Key="first").json()["id"]
    assert upload(service).status_code == 201
    refused = upload(service)
    assert (refused.status_code, refused.json()["code"]) == (413, "uploads_full")
    assert f"{2 * len(TABLE)} bytes" in refused.json()["detail"]
    assert upload(service, Idempotency_Key="first").status_code == 201, "nothing is added"
    service.client.delete(f"/v1/datasets/{first}")
    assert upload(service).status_code == 201


@pytest.mark.parametrize(
    ("path", "more", "pointer"),
    [
        ("/v1/jobs", {}, "/data/dataset"),
        ("/v1/sweeps", {"sweep": {"/optimizer/lr": [0.1, 0.2]}}, "/data/dataset"),
        ("/v1/sweeps", {"sweep": {"/data/dataset": ["DELETED", "KEPT"]}}, "/sweep/~1data~1dataset/0"),
    ],
)
def test_a_data_set_that_goes_while_a_spec_is_checked_is_missed(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str, more: dict[str, Any], pointer: str
):
    deleted, kept = (upload(service).json()["id"] for _ in range(2))

    def delete_then_count(reader: Any) -> int:
        with suppress(NotFound):
            DATASETS.delete(reader, deleted)
        return count_queued(reader)

    monkeypatch.setattr(submission, "count_queued", delete_then_count)
    posted = json.loads(json.dumps(spec_on(deleted) | more).replace("DELETED", deleted).replace("KEPT", kept))
    refused = service.client.post(path, json=posted)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert "deleted just now" in refused.json()["errors"][0]["detail"]


def test_a_compressed_upload_is_refused(embedded: Service):
    assert upload(embedded, Content_Encoding="gzip").status_code == 415


def test_a_digest_is_compared(embedded: Service):
    right = base64.b64encode(hashlib.sha256(TABLE).digest()).decode()
    for good in (f"sha-256=:{right}:", f"md5=:AAAA:, sha-256=:{right}:", "md5=:AAAA:", "nonsense"):
        assert upload(embedded, Content_Digest=good).status_code == 201
    for bad in ("sha-256=:AAAA:", "sha-256=:A:", f"sha-256=:{right}:, sha-256=:AAAA:"):
        answer = upload(embedded, Content_Digest=bad)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/header/Content-Digest"
        assert right in answer.json()["errors"][0]["expected"]


def test_the_same_key_stores_once(service: Service):
    first, again = (upload(service, Idempotency_Key="upload-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    other = upload(service, TABLE + b"1,2,a\n", Idempotency_Key="upload-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_files_under_the_data_root_are_checked_when_a_spec_is_posted(serve: Callable[..., Service], tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t.csv").write_bytes(TABLE)
    service = serve(data_root=tmp_path / "root")
    data = {"type": "table", "path": "t.csv", "target": "y"}
    assert service.post(SPEC | {"data": data})["status"] == "queued"
    for path in ("../t.csv", "/etc/passwd", "gone.csv"):
        answer = service.client.post("/v1/jobs", json=SPEC | {"data": data | {"path": path}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/data/path")
    (tmp_path / "root" / "t.csv").write_bytes(TABLE + b"1,,a\n")
    answer = service.client.post("/v1/specs/validate", json=SPEC | {"data": data})
    assert "no value in row 31 of column 'z'" in answer.json()["errors"][0]["detail"]


def test_without_a_data_root_path_data_are_refused(embedded: Service):
    data = {"type": "table", "path": "t.csv", "target": "y"}
    answer = embedded.client.post("/v1/jobs", json=SPEC | {"data": data})
    assert "GRADCLINIC_DATA_ROOT" in answer.json()["errors"][0]["expected"]


def test_an_upload_needs_a_key_where_there_are_keys(serve: Callable[..., Service]):
    assert upload(serve(api_keys=("secret",))).status_code == 401
