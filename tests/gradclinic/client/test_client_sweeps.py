"""The client's calls about sweeps, against a service on a real loopback socket."""

from __future__ import annotations

import time

import pytest

from gradclinic.client import Client
from gradclinic.errors import InvalidSpec, RequestFailed
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import SPEC, SWEEP_ID
from tests.gradclinic.client.stub_service import Answer, StubService, problem

SWEEP = f"/v1/sweeps/{SWEEP_ID}"
DOCUMENT = SPEC | {"sweep": {"/optimizer/lr": [0.1, 0.01]}}


def test_submitting_posts_the_spec_with_its_sweep_and_repeats_with_the_same_key(stub: StubService, client: Client):
    stub.on("POST", "/v1/sweeps", Answer(lost=True), Answer(202, documents.sweep("live")))
    sweep = client.submit_sweep(DOCUMENT)
    assert (sweep.id, sweep.status, len(sweep.rows)) == (SWEEP_ID, "live", 2)
    assert [asked.body for asked in stub.asked] == [DOCUMENT, DOCUMENT]
    assert len({asked.headers["idempotency-key"] for asked in stub.asked}) == 1


def test_faults_come_at_their_places(stub: StubService, client: Client):
    errors = [{"pointer": "/sweep/~1optimizer~1lr/1", "detail": "lr is -1.", "expected": None}]
    stub.on("POST", "/v1/sweeps", problem(422, "invalid_spec", "wrong", errors))
    with pytest.raises(InvalidSpec) as refused:
        client.submit_sweep(DOCUMENT)
    assert refused.value.faults[0].pointer == "/sweep/~1optimizer~1lr/1"


def test_a_sweep_is_read_in_an_order(stub: StubService, client: Client):
    stub.on("GET", SWEEP, Answer(200, documents.sweep()))
    sweep = client.sweep(SWEEP_ID, sort="best")
    assert stub.asked[0].query == "sort=best"
    assert (sweep.compared_by, sweep.best) == ("accuracy", sweep.rows[1].job)


def test_sweeps_and_the_jobs_of_one_are_listed(stub: StubService, client: Client):
    summary = {
        key: value for key, value in documents.sweep().items() if key not in {"rows", "best", "compared_by", "spec"}
    }
    stub.on("GET", "/v1/sweeps", Answer(200, {"items": [summary], "next_cursor": "more"}))
    stub.on("GET", "/v1/jobs", Answer(200, {"items": [documents.job(sweep=SWEEP_ID)], "next_cursor": None}))
    page = client.sweeps(limit=1)
    assert (page.items[0].id, page.next_cursor) == (SWEEP_ID, "more")
    assert client.jobs(sweep=SWEEP_ID).items[0].sweep == SWEEP_ID
    assert f"sweep={SWEEP_ID}" in stub.asked[1].query


def test_waiting_holds_until_all_jobs_have_ended(stub: StubService, client: Client):
    live, ended = Answer(200, documents.sweep("live")), Answer(200, documents.sweep())
    stub.on("GET", SWEEP, live, live, ended)
    seen = []
    sweep = client.wait_sweep(SWEEP_ID, on_progress=lambda sweep: seen.append(sweep.status))
    assert (sweep.status, seen) == ("ended", ["live", "live", "ended"])
    assert [asked.headers.get("prefer") for asked in stub.asked] == [None, "wait=1", "wait=1"]


def test_waiting_ends_in_time_and_does_not_hurry(stub: StubService, client: Client):
    stub.on("GET", SWEEP, Answer(200, documents.sweep("live")))
    began = time.monotonic()
    assert client.wait_sweep(SWEEP_ID, timeout=0.5).status == "live"
    assert 0.4 < time.monotonic() - began < 2
    assert len(stub.asked) <= 5


def test_cancelling_and_deleting(stub: StubService, client: Client):
    stub.on("POST", f"{SWEEP}/cancel", Answer(202, documents.sweep()))
    stub.on("DELETE", SWEEP, Answer(204), problem(409, "job_is_live", "Jobs are live."))
    assert client.cancel_sweep(SWEEP_ID).status == "ended"
    client.delete_sweep(SWEEP_ID)
    with pytest.raises(RequestFailed, match="Jobs are live"):
        client.delete_sweep(SWEEP_ID)
