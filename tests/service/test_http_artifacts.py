"""Uploading artifacts: over both databases. What data sets have in common with them is tested there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from gradclinic.contract.uploaded import UploadedArtifact
from tests.service.hands import Service


def safetensors(note: str = "") -> bytes:
    header = json.dumps({"__metadata__": {"note": note}}).encode()
    return len(header).to_bytes(8, "little") + header


FILE = safetensors()


def upload(service: Service, content: Any = FILE, query: str = "", **headers: str) -> httpx2.Response:
    sent = {"Content-Type": "application/octet-stream"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    return service.client.post(f"/v1/artifacts{query}", content=content, headers=sent)


def test_an_upload_is_stored_and_shown(service: Service):
    answer = upload(service, query="?name=my%20model")
    assert answer.status_code == 201
    artifact = UploadedArtifact.model_validate_json(answer.content)
    assert (artifact.name, artifact.kind, artifact.size) == ("my model", "graph", len(FILE))
    assert artifact.sha256 == hashlib.sha256(FILE).hexdigest()
    assert answer.headers["Location"] == artifact.links["self"] == f"/v1/artifacts/{artifact.id}"
    assert service.client.get(answer.headers["Location"]).json() == answer.json()


def test_artifacts_and_data_sets_are_two_lists(service: Service):
    ids = [upload(service, query=f"?name={number}").json()["id"] for number in range(3)]
    first = service.client.get("/v1/artifacts?limit=2").json()
    assert [item["id"] for item in first["items"]] == ids[:0:-1]
    following = service.client.get("/v1/artifacts", params={"limit": 2, "cursor": first["next_cursor"]})
    assert following.json()["items"][0]["id"] == ids[0]
    assert service.client.get("/v1/datasets").json()["items"] == []
    assert service.client.get(f"/v1/datasets/{ids[0]}").status_code == 404
    assert service.client.get("/v1/artifacts?cursor=wrong").json()["errors"][0]["pointer"] == "/query/cursor"


def test_a_deleted_artifact_is_gone(service: Service):
    artifact_id = upload(service).json()["id"]
    assert service.client.delete(f"/v1/artifacts/{artifact_id}").status_code == 204
    for method in ("GET", "DELETE"):
        answer = service.client.request(method, f"/v1/artifacts/{artifact_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "/v1/artifacts" in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"x,y\n1,2\n3,4\n", b"PK\x03\x04" + bytes(40), FILE[:9], b"{", FILE[:-1]])
def test_what_is_no_safetensors_file_is_refused(embedded: Service, content: bytes):
    answer = upload(embedded, content)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert "safetensors" in answer.json()["errors"][0]["detail"]
    assert embedded.client.get("/v1/artifacts").json()["items"] == []


def test_the_same_key_stores_once_and_never_another_sort(service: Service):
    first, again = (upload(service, Idempotency_Key="artifact-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    for path, content in (("/v1/artifacts", safetensors("other")), ("/v1/datasets?name=a.csv", FILE)):
        headers = {"Idempotency-Key": "artifact-1"}
        other = service.client.post(path, content=content, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_all_uploads_share_one_quota(serve: Callable[..., Service]):
    service = serve(max_datasets_bytes=2 * len(FILE))
    dataset = service.client.post("/v1/datasets?name=a.csv", content=FILE).json()["id"]
    assert upload(service).status_code == 201
    refused = upload(service)
    assert (refused.status_code, refused.json()["code"]) == (413, "uploads_full")
    service.client.delete(f"/v1/datasets/{dataset}")
    assert upload(service).status_code == 201


def test_one_over_the_limit_is_refused(serve: Callable[..., Service]):
    answer = upload(serve(max_upload=len(FILE) - 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_an_upload_needs_a_key_where_there_are_keys(serve: Callable[..., Service]):
    assert upload(serve(api_keys=("secret",))).status_code == 401
