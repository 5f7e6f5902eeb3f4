"""Taking jobs in: what is too deep, too late or too many, and whatever else JSON can be."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.app import create_app
from store.settings import Settings
from store.workers import note_worker
from tests.service.hands import SPEC, Service

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("levels", [65, 300, 900, 980, 990, 1000, 1100])
def test_a_deep_body_with_a_key_is_refused_like_any_other(embedded: Service, levels: int):
    for body in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
        answer = embedded.client.post("/v1/jobs", content=body, headers=JSON | {"Idempotency-Key": f"deep-{levels}"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")


class TestFullQueue:
    def test_it_takes_no_more_until_one_is_taken_up(self, serve: Callable[..., Service]):
        service = serve(max_queued=2)
        first = service.post()
        kept = service.post(**{"Idempotency-Key": "second"})
        refused = service.client.post("/v1/jobs", json=SPEC)
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) > 0
        assert len(service.client.get("/v1/jobs").json()["items"]) == 2

        assert service.post(**{"Idempotency-Key": "second"})["id"] == kept["id"]
        assert service.client.post("/v1/jobs", json={}).status_code == 422
        service.claim(first["id"])
        service.post()

    def test_a_refused_request_can_be_repeated_with_its_key(self, serve: Callable[..., Service]):
        service = serve(max_queued=1)
        first = service.post()
        headers = {"Idempotency-Key": "again"}
        assert service.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 429
        service.claim(first["id"])
        assert service.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 202

    def test_a_sweep_fits_in_whole_or_not_at_all(self, serve: Callable[..., Service]):
        service = serve(max_queued=3)
        sweep = SPEC | {"sweep": {"/optimizer/lr": [0.1, 0.01]}}
        service.post()
        assert service.client.post("/v1/sweeps", json=sweep).status_code == 202
        refused = service.client.post("/v1/sweeps", json=sweep)
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert "3 jobs are queued and 3 may be, so that 2 more cannot be" in refused.json()["detail"]
        assert len(service.client.get("/v1/jobs").json()["items"]) == 3

    def test_a_sweep_that_no_queue_could_hold_need_not_be_tried_again(self, serve: Callable[..., Service]):
        sweep = SPEC | {"sweep": {"/optimizer/lr": [0.1, 0.01]}}
        refused = serve(max_queued=1).client.post("/v1/sweeps", json=sweep)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/sweep")


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/jobs", "application/json"), ("/v1/datasets", "text/csv")], ids=["jobs", "datasets"]
)
def test_a_body_that_does_not_arrive_is_given_up(serve: Callable[..., Service], path: str, kind: str):
    app = create_app(serve(body_seconds=0.2).app.state.settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        with socket.create_connection((host, port), timeout=10) as caller:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 50\r\n\r\n"
            caller.sendall(head.encode() + b"{")
            answer = b""
            while piece := caller.recv(65536):  # until the service closes the connection
                answer += piece
    finally:
        server.should_exit = True
        thread.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT secret", {}, Exception("gone")),
        InterfaceError("SELECT secret", {}, Exception("the connection is closed")),
        PoolTimeout("QueuePool limit of size 5 reached"),
    ],
)
def test_a_database_in_trouble_is_a_503(serve: Callable[..., Service], error: Exception):
    service = serve()

    @service.app.get("/trouble")
    def trouble() -> None:
        raise error

    answer = service.client.get("/trouble")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert "Retry-After" in answer.headers
    assert "secret" not in answer.text


def test_the_log_of_whoever_makes_the_application_shows_no_variable(tmp_path: Any, capsys: pytest.CaptureFixture[str]):
    structlog.reset_defaults()
    create_app(Settings(data_dir=tmp_path, database_url=None, broker_url=None, api_keys=()))

    def break_down(given: str) -> None:
        raise RuntimeError(len(given))

    try:
        break_down("what a variable" + " held")
    except RuntimeError:
        structlog.get_logger().exception("it_broke")

    logged = capsys.readouterr()
    assert "what a variable held" not in logged.out + logged.err
    assert "Traceback" in logged.err


def test_the_probe_counts_the_workers(service: Service):
    assert service.client.get("/readyz").json()["workers"] == 0
    for name in ("a:1", "a:2", "a:1"):
        with service.store.writing() as writer:
            note_worker(writer, name)
    assert service.client.get("/readyz").json()["workers"] == 2


texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8) | st.sampled_from(
    ["\ud800", "\0", "type", "layers", "Linear", "model", "data", "iris"]
)
leaves = st.none() | st.booleans() | texts | st.integers() | st.integers(10**300, 10**310) | st.floats(allow_nan=False)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
near_specs = st.builds(
    lambda key, value, more: SPEC | {key: value} | more,
    st.sampled_from([*SPEC, "labels", "diagnosis", "recording", "scheduler"]),
    values,
    st.dictionaries(texts, values, max_size=1),
)


def deep(levels: int, inner: Any) -> str:
    return '{"model":' + '[{"layers":' * levels + json.dumps(inner) + "}]" * levels + "}"


bodies = st.one_of(
    (values | near_specs).map(json.dumps),
    st.builds(deep, st.integers(25, 40) | st.integers(300, 520), values),
    st.integers(4290, 4310).map(lambda digits: '{"name":' + "9" * digits + "}"),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example('{"\\ud800": {"\\u0000": 1e999}}', None)
@example(json.dumps(SPEC), "key")
@given(bodies, st.sampled_from([None, "key"]))
def test_no_body_is_ever_our_fault_or_queues_unasked(embedded: Service, body: str, key: str | None):
    headers = JSON | ({} if key is None else {"Idempotency-Key": str(abs(hash(body)))})
    before = newest(embedded)
    validated = embedded.client.post("/v1/specs/validate", content=body, headers=JSON)
    assert validated.status_code in {200, 422}, validated.text
    assert newest(embedded) == before

    posted = embedded.client.post("/v1/jobs", content=body, headers=headers)
    assert posted.status_code == (202 if validated.status_code == 200 else 422), posted.text
    assert newest(embedded) == (posted.json()["id"] if posted.status_code == 202 else before)


def newest(service: Service) -> str | None:
    items = service.client.get("/v1/jobs", params={"limit": 1}).json()["items"]
    return items[0]["id"] if items else None
