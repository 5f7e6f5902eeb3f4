"""Artifacts through the client, against a service on a real loopback socket."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gradclinic.client import Client
from gradclinic.errors import RequestFailed
from tests.gradclinic.client.stub_service import Answer, StubService, problem

ARTIFACT: dict[str, Any] = {
    "id": "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b72",
    "name": "model.safetensors",
    "kind": "graph",
    "size": 4_200_000,
    "sha256": "0" * 64,
    "created_at": "2026-11-21T10:00:00Z",
    "links": {},
}
PLACE = f"/v1/artifacts/{ARTIFACT['id']}"


def test_an_upload_sends_the_file_as_it_is(stub: StubService, client: Client, tmp_path: Path):
    content = bytes(range(256)) * 1000
    (tmp_path / "my model").write_bytes(content)
    stub.on("POST", "/v1/artifacts", Answer(201, ARTIFACT))

    assert client.upload_artifact(tmp_path / "my model").id == ARTIFACT["id"]

    (asked,) = stub.asked
    assert asked.body == content
    assert asked.query in {"name=my+model", "name=my%20model"}
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert asked.headers["content-digest"] == f"sha-256=:{digest}:"


def test_listing_looking_and_deleting(stub: StubService, client: Client):
    stub.on("GET", "/v1/artifacts", Answer(200, {"items": [ARTIFACT], "next_cursor": "more"}))
    stub.on("GET", PLACE, Answer(200, ARTIFACT))
    stub.on("DELETE", PLACE, Answer(204))
    assert client.artifacts(cursor="here", limit=7).next_cursor == "more"
    assert client.artifact(ARTIFACT["id"]).size == 4_200_000
    client.delete_artifact(ARTIFACT["id"])
    assert stub.asked[0].query == "cursor=here&limit=7"
    assert stub.asked[-1].method == "DELETE"


def test_one_in_use_is_told(stub: StubService, client: Client):
    stub.on("DELETE", PLACE, problem(409, "artifact_in_use", "Job 1 trains it."))
    with pytest.raises(RequestFailed, match="Job 1 trains it"):
        client.delete_artifact(ARTIFACT["id"])
