"""Uploading artifacts: over both databases. What data sets have in common with them is tested there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from gradclinic.contract.limits import Limits
from gradclinic.contract.uploaded import UploadedArtifact
from gradclinic.graph import METADATA_KEY
from service import submission
from store.jobs import count_queued
from store.uploads import ARTIFACTS
from tests.service.hands import SPEC, Service

GRAPH: dict[str, Any] = {
    "version": 1,
    "torch": "2.13.0",
    "input": {"name": "x", "shape": [4], "dtype": "float32"},
    "tensors": {"weight": {"kind": "parameter", "trained": True}},
    "layers": [{"name": "linear", "type": "Linear"}],
    "nodes": [
        {"name": "linear", "op": "aten.linear.default", "args": [{"node": "x"}, {"tensor": "weight"}], "layer": 0}
    ],
    "output": "linear",
}
"""A linear layer of four numbers to three, without a bias."""


def safetensors(**changes: Any) -> bytes:
    header = {
        "__metadata__": {METADATA_KEY: json.dumps(GRAPH | changes)},
        "weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(48)


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n1,2\n3,4\n", "no safetensors file"),
        (b"PK\x03\x04" + bytes(40), "no safetensors file"),
        (FILE[:9], "cut off"),
        (FILE[:-1], "cut off"),
        (safetensors(output="nothing"), "nothing"),
        (safetensors(nodes=[GRAPH["nodes"][0] | {"op": "aten.from_file.default"}]), "aten.from_file.default"),
        (safetensors(version=2), "/version"),
    ],
)
def test_what_is_wrong_with_an_artifact_is_said_before_it_is_stored(embedded: Service, content: bytes, words: str):
    answer = upload(embedded, content)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert words in answer.json()["errors"][0]["detail"]
    assert answer.json()["errors"][0]["pointer"] == ""
    assert embedded.client.get("/v1/artifacts").json()["items"] == []


def test_one_over_the_limits_of_models_is_refused(serve: Callable[..., Service]):
    answer = upload(serve(limits=Limits(max_parameters=11)))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    assert "11" in answer.json()["errors"][0]["detail"]


def test_the_same_key_stores_once_and_never_another_sort(service: Service):
    first, again = (upload(service, Idempotency_Key="artifact-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    for path, content in (("/v1/artifacts", safetensors(name="other")), ("/v1/datasets?name=a.csv", FILE)):
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


def spec_on(artifact_id: str) -> dict[str, Any]:
    return SPEC | {"model": {"type": "graph", "artifact": artifact_id}}


def test_a_spec_on_an_artifact_is_checked_against_what_is_in_it(service: Service):
    artifact_id = upload(service).json()["id"]
    resolved = service.client.post("/v1/specs/validate", json=spec_on(artifact_id)).json()
    assert (resolved["input_shape"], resolved["output_shape"]) == ([4], [3])
    assert service.post(spec_on(artifact_id))["status"] == "queued"
    wrong = service.client.post("/v1/jobs", json=spec_on(artifact_id) | {"data": {"type": "digits"}})
    assert wrong.status_code == 422, "there are 64 numbers, not four"
    gone = service.client.post("/v1/jobs", json=spec_on("0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"))
    assert (gone.status_code, gone.json()["errors"][0]["pointer"]) == (422, "/model/artifact")


def test_what_a_live_job_trains_is_not_deleted(service: Service):
    artifact_id = upload(service).json()["id"]
    job = service.post(spec_on(artifact_id))
    answer = service.client.delete(f"/v1/artifacts/{artifact_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "artifact_in_use")
    assert job["id"] in answer.json()["detail"]
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert service.client.delete(f"/v1/artifacts/{artifact_id}").status_code == 204


def test_an_artifact_that_goes_while_a_spec_is_checked_is_missed(service: Service, monkeypatch: pytest.MonkeyPatch):
    artifact_id = upload(service).json()["id"]

    def delete_then_count(writer: Any) -> int:
        ARTIFACTS.delete(writer, artifact_id)
        return count_queued(writer)

    monkeypatch.setattr(submission, "count_queued", delete_then_count)
    refused = service.client.post("/v1/jobs", json=spec_on(artifact_id))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/model/artifact")
    assert "deleted just now" in refused.json()["errors"][0]["detail"]
