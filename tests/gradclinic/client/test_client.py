"""The client against a service on a real loopback socket."""

from __future__ import annotations

import math
import socket
import time

import pytest

from gradclinic.client import Client
from gradclinic.client import client as client_module
from gradclinic.errors import InvalidSpec, RequestFailed, ServiceUnreachable
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import HISTORY, JOB_ID, RUN_ID, SPEC
from tests.gradclinic.client.stub_service import Answer, StubService, problem

JOB = f"/v1/jobs/{JOB_ID}"


def test_submit_posts_the_bare_spec_and_returns_the_job(stub: StubService, client: Client):
    stub.on("POST", "/v1/jobs", Answer(202, documents.job("queued")))
    job = client.submit(SPEC)
    assert (job.id, job.status) == (JOB_ID, "queued")
    assert stub.asked[0].body == SPEC


def test_submit_repeats_a_lost_request_with_the_same_key(stub: StubService, client: Client):
    stub.on("POST", "/v1/jobs", Answer(lost=True), Answer(503), Answer(202, documents.job("queued")))
    client.submit(SPEC)
    keys = {asked.headers["idempotency-key"] for asked in stub.asked}
    assert len(stub.asked) == 3
    assert len(keys) == 1


def test_two_submits_have_two_keys_and_an_own_key_is_kept(stub: StubService, client: Client):
    stub.on("POST", "/v1/jobs", Answer(202, documents.job("queued")))
    client.submit(SPEC)
    client.submit(SPEC)
    client.submit(SPEC, idempotency_key="mine")
    keys = [asked.headers["idempotency-key"] for asked in stub.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_apply_can_be_repeated_too(stub: StubService, client: Client):
    stub.on("POST", f"{JOB}/fixes/activation-relu/apply", Answer(lost=True), Answer(202, documents.job("queued")))
    client.apply_fix(JOB_ID, "activation-relu")
    assert stub.asked[0].headers["idempotency-key"] == stub.asked[1].headers["idempotency-key"]


def test_a_connection_that_stays_lost_is_told(stub: StubService, client: Client):
    stub.on("GET", JOB, Answer(lost=True))
    with pytest.raises(ServiceUnreachable, match="was lost"):
        client.job(JOB_ID)
    assert len(stub.asked) > 1


def test_faults_of_a_422_become_an_invalid_spec(stub: StubService, client: Client):
    errors = [{"pointer": "/loss/type", "detail": "There is no such loss.", "expected": "MSELoss"}]
    stub.on("POST", "/v1/specs/validate", problem(422, "invalid_spec", "wrong", errors))
    with pytest.raises(InvalidSpec) as raised:
        client.validate({})
    fault = raised.value.faults[0]
    assert (fault.pointer, fault.detail, fault.expected) == ("/loss/type", "There is no such loss.", "MSELoss")


def test_other_problems_become_a_failed_request(stub: StubService, client: Client):
    stub.on("POST", "/v1/jobs", problem(422, "idempotency_key_reused", "Another body came before."))
    with pytest.raises(RequestFailed, match="Another body") as raised:
        client.submit(SPEC)
    assert raised.value.status == 422
    assert raised.value.problem["request_id"] == "r-1"


def test_a_service_that_is_not_there_is_named_with_what_to_do():
    with socket.socket() as taken:  # bound but not listening: refuses every connection
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client:
            assert not client.is_ready()
            with pytest.raises(ServiceUnreachable, match="python -m service") as raised:
                client.job("x")
    assert url in str(raised.value)


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://exa mple"])
def test_what_is_no_address_is_said_to_be_none(url: str):
    with Client(url) as client, pytest.raises(ServiceUnreachable):
        client.job("x")


def test_something_else_at_the_address_is_not_taken_for_the_service(stub: StubService, client: Client):
    stub.on("GET", JOB, Answer(404, {"detail": "Not Found"}), Answer(200, "<html>", content_type="text/html"))
    with pytest.raises(ServiceUnreachable, match="not as gradclinic does"):
        client.job(JOB_ID)
    with pytest.raises(ServiceUnreachable, match="not understood"):
        client.job(JOB_ID)


def test_fields_of_a_newer_service_are_left_out(stub: StubService, client: Client):
    newer = documents.job() | {"colour": "blue", "progress": {"step": 1, "steps": 2, "epochs": 3}}
    stub.on("GET", JOB, Answer(200, newer))
    assert client.job(JOB_ID).progress.step == 1


def test_ids_cannot_leave_their_place_in_the_path(stub: StubService, client: Client):
    with pytest.raises(RequestFailed):
        client.job("../../livez?x")
    assert stub.asked[0].path == "/v1/jobs/..%2F..%2Flivez%3Fx"


def test_the_key_is_a_bearer_token_and_the_environment_fills_in(stub: StubService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_URL", f"{stub.url}/")
    monkeypatch.setenv("GRADCLINIC_API_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # of no use for this host, and not used
    stub.on("GET", JOB, Answer(200, documents.job()))
    with Client() as client:
        client.job(JOB_ID)
    assert stub.asked[0].headers["authorization"] == "Bearer secret"


def test_wait_reports_each_change_and_asks_to_be_held(stub: StubService, client: Client):
    training = Answer(200, documents.job("training"), {"ETag": '"2"'})
    stub.on(
        "GET",
        JOB,
        Answer(200, documents.job("queued"), {"ETag": '"1"'}),
        training,
        Answer(304),
        Answer(200, documents.job("succeeded"), {"ETag": '"3"'}),
    )
    seen: list[str] = []
    job = client.wait(JOB_ID, on_progress=lambda job: seen.append(job.status))
    assert seen == ["queued", "training", "succeeded"]
    assert job.status == "succeeded"
    assert "prefer" not in stub.asked[0].headers
    assert [asked.headers.get("if-none-match") for asked in stub.asked] == [None, '"1"', '"2"', '"2"']
    assert stub.asked[1].headers["prefer"] == f"wait={client_module.WATCHED_HOLD_SECONDS}"


def test_wait_returns_the_live_job_when_its_time_is_up(stub: StubService, client: Client):
    stub.on("GET", JOB, Answer(200, documents.job("training"), {"ETag": '"1"'}), Answer(304))
    began = time.monotonic()
    job = client.wait(JOB_ID, timeout=0.5)
    assert job.status == "training"
    assert 0.4 < time.monotonic() - began < 3
    assert len(stub.asked) < 8


def test_wait_survives_a_restart_of_the_service(stub: StubService, client: Client):
    stub.on("GET", JOB, Answer(200, documents.job("training")), *[Answer(lost=True)] * 4, Answer(200, documents.job()))
    assert client.wait(JOB_ID, timeout=10).status == "succeeded"


def test_lists_pass_on_their_filters(stub: StubService, client: Client):
    stub.on("GET", "/v1/jobs", Answer(200, {"items": [documents.job()], "next_cursor": "c"}))
    page = client.jobs(status="succeeded", labels={"team": "vision", "env": "ci"}, limit=5)
    assert page.next_cursor == "c"
    assert stub.asked[0].query == "status=succeeded&limit=5&label=team%3Avision&label=env%3Aci"


def test_histories_come_with_numbers(stub: StubService, client: Client):
    stub.on("GET", f"/v1/runs/{RUN_ID}/history", Answer(200, HISTORY))
    columns = client.history(RUN_ID, signals=["loss", "grad_norm"], points=2)["columns"]
    assert math.isnan(columns["layers.3.weight/grad_norm"]["mean"][1])
    assert columns["loss"]["mean"] == [2.4, 2.3]
    assert stub.asked[0].query == "signals=loss%2Cgrad_norm&points=2"


def test_cancel_delete_runs_and_diagnosis(stub: StubService, client: Client):
    stub.on("POST", f"{JOB}/cancel", Answer(202, documents.job("training", cancel_requested=True)))
    stub.on("DELETE", JOB, Answer(204))
    stub.on("GET", f"{JOB}/runs", Answer(200, {"items": [documents.run()], "next_cursor": None}))
    stub.on("GET", f"{JOB}/diagnosis", Answer(200, documents.diagnosis(documents.FINDING)))
    assert client.cancel(JOB_ID).cancel_requested
    client.delete(JOB_ID)
    assert client.runs(JOB_ID)[0].kind == "baseline"
    assert client.diagnosis(JOB_ID).findings[0].cause is not None


def test_readiness_is_a_yes_or_no(stub: StubService, client: Client):
    assert not client.is_ready()
    stub.on("GET", "/readyz", Answer(200, {}))
    assert client.is_ready()


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (Answer(200, {"status": "ready", "workers": 2}), 2),
        (Answer(200, {"status": "ready", "workers": 0}), 0),
        (Answer(200, {"status": "ready"}), None),
        (Answer(200, "no JSON"), None),
        (Answer(200, [1]), None),
        (problem(503, "store_unavailable", "It is gone."), None),
        (Answer(lost=True), None),
    ],
)
def test_workers_are_counted_where_the_service_tells(stub: StubService, answer: Answer, seen: int | None):
    stub.on("GET", "/readyz", answer)
    with Client(stub.url) as client:
        assert client.workers_seen() == seen


def test_a_history_that_does_not_come_is_told(stub: StubService, client: Client):
    path = f"/v1/runs/{RUN_ID}/history"
    stub.on("GET", path, Answer(lost=True))
    with pytest.raises(ServiceUnreachable, match="was lost"):
        client.history_as_arrow(RUN_ID)
    stub.on("GET", path, problem(404, "not_found", "There is no such run."))
    with pytest.raises(RequestFailed, match="no such run"), client.stream_history(RUN_ID, "csv") as pieces:
        list(pieces)
    stub.on("GET", path, Answer(200, {"steps": []}))
    with pytest.raises(ServiceUnreachable, match=r"not understood.* no Arrow"):
        client.history_as_arrow(RUN_ID)


def test_a_history_that_is_cut_is_no_history(client: Client, stub: StubService):
    cut = Answer(200, "step,loss\r\n0,1\r\n", headers={"Content-Length": "1000"}, content_type="text/csv")
    stub.on("GET", f"/v1/runs/{RUN_ID}/history", cut)
    with (
        pytest.raises(ServiceUnreachable, match="was lost"),
        client.stream_history(RUN_ID, "csv") as pieces,
    ):
        list(pieces)
