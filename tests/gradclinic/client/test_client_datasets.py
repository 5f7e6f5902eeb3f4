"""Data sets through the client, against a service on a real loopback socket."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gradclinic.client import Client
from gradclinic.errors import RequestFailed
from tests.gradclinic.client.stub_service import Answer, StubService, problem

DATASET: dict[str, Any] = {
    "id": "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b72",
    "name": "t.csv",
    "kind": "csv",
    "size": 4_200_000,
    "sha256": "0" * 64,
    "created_at": "2026-11-21T10:00:00Z",
    "links": {},
}
PLACE = f"/v1/datasets/{DATASET['id']}"


def test_an_upload_sends_the_file_as_it_is(stub: StubService, client: Client, tmp_path: Path):
    content = b"x,y\n" + b"1,2\n" * 100_000
    (tmp_path / "my t.csv").write_bytes(content)
    stub.on("POST", "/v1/datasets", Answer(201, DATASET))

    assert client.upload_dataset(tmp_path / "my t.csv").id == DATASET["id"]

    (asked,) = stub.asked
    assert asked.body == content
    assert asked.query in {"name=my+t.csv", "name=my%20t.csv"}
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert asked.headers["content-digest"] == f"sha-256=:{digest}:"


def test_an_upload_that_was_lost_is_sent_again_from_its_start(stub: StubService, client: Client, tmp_path: Path):
    (tmp_path / "t").write_bytes(b"x,y\n1,2\n")
    stub.on("POST", "/v1/datasets", Answer(lost=True), Answer(503), Answer(201, DATASET))

    client.upload_dataset(tmp_path / "t", name="t.csv")

    assert [asked.body for asked in stub.asked] == [b"x,y\n1,2\n"] * 3
    assert len({asked.headers["idempotency-key"] for asked in stub.asked}) == 1
    assert stub.asked[0].query == "name=t.csv"


def test_a_file_that_is_not_there_is_the_caller_s_own(client: Client, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        client.upload_dataset(tmp_path / "gone.csv")


def test_listing_looking_and_deleting(stub: StubService, client: Client):
    stub.on("GET", "/v1/datasets", Answer(200, {"items": [DATASET], "next_cursor": "more"}))
    stub.on("GET", PLACE, Answer(200, DATASET))
    stub.on("DELETE", PLACE, Answer(204))
    assert client.datasets(cursor="here", limit=7).next_cursor == "more"
    assert client.dataset(DATASET["id"]).size == 4_200_000
    client.delete_dataset(DATASET["id"])
    assert stub.asked[0].query == "cursor=here&limit=7"
    assert stub.asked[-1].method == "DELETE"


def test_one_in_use_is_told(stub: StubService, client: Client):
    stub.on("DELETE", PLACE, problem(409, "dataset_in_use", "Job 1 trains on it."))
    with pytest.raises(RequestFailed, match="Job 1 trains on it"):
        client.delete_dataset(DATASET["id"])
