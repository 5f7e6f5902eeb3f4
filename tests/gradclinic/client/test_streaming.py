"""Sending a history while it is recorded: against a service on a real loopback socket that fails in every way."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradclinic.client import Client, streaming
from gradclinic.client.streaming import Stream
from gradclinic.errors import InvalidHistory, RequestFailed
from gradclinic.history import History, LayerFacts, RunFacts, SignalTable, concatenate
from gradclinic.history.packed import MEDIA_TYPE, unpack_part
from tests.gradclinic.client import documents
from tests.gradclinic.client.stub_service import Answer, Asked, StubService, problem, stub_service

RUN_ID = documents.RUN_ID
RUN = f"/v1/runs/{RUN_ID}"
FACTS = RunFacts(layers=[LayerFacts(name="0", type="Linear")], optimizer="SGD")


def run_document(status: str = "training", chunks: int = 0) -> dict[str, Any]:
    health = "critical" if status == "succeeded" else None
    return documents.run() | {
        "job_id": None, "kind": "external", "seed": None, "status": status, "chunks": chunks, "health": health,
    }  # fmt: skip


def part_of(start: int, stop: int, facts: RunFacts = FACTS) -> History:
    steps = np.arange(start, stop)
    return History({"loss": SignalTable(steps, ("",), steps[:, None] / 3)}, facts)


def chunks_of(stub: StubService) -> list[Asked]:
    return [asked for asked in stub.asked if asked.path == f"{RUN}/history"]


def sent_history(stub: StubService) -> History:
    """Return what the service was sent, each chunk once."""
    bodies = {int(asked.query.partition("=")[2]): asked.body for asked in chunks_of(stub)}
    assert list(bodies) == list(range(len(bodies)))
    return concatenate([History(unpack_part(body)[0]) for body in bodies.values()])


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    monkeypatch.setattr(streaming, "FIRST_PAUSE", 0.01)
    with stub_service() as stub:
        stub.on("POST", "/v1/runs", Answer(201, run_document()))
        stub.on("POST", f"{RUN}/history", Answer(200, run_document()))
        stub.on("POST", f"{RUN}/finish", Answer(200, run_document("succeeded")))
        yield stub


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # held and not listened at: whoever connects is refused
        yield held.getsockname()[1]


def test_parts_go_out_in_order_and_the_end_follows(stub: StubService, client: Client):
    with client.stream(name="nightly", labels={"team": "vision"}) as stream:
        for start in range(0, 512, 128):
            stream(part_of(start, start + 128))
    assert (stream.unsent, stream.run_id) == (None, RUN_ID)
    assert stream.run is not None
    assert stream.run.status == "succeeded"
    begun, ended = stub.asked[0], stub.asked[-1]
    assert (begun.body["name"], begun.body["labels"]) == ("nightly", {"team": "vision"})
    assert ended.body["status"] == "succeeded"
    assert ended.body["facts"]["optimizer"] == "SGD"
    assert {asked.headers["content-type"] for asked in chunks_of(stub)} == {MEDIA_TYPE}
    assert sent_history(stub)["loss"].steps.tolist() == list(range(512))
    facts = [unpack_part(asked.body)[1] for asked in chunks_of(stub)]
    assert [bool(sent) for sent in facts] == [True, False, False, False], "facts go out when they change"


def test_what_fails_is_sent_again_as_it_was(stub: StubService, client: Client):
    answers = (Answer(lost=True), Answer(503), problem(500, "internal_error", "x"), problem(429, "queue_full", "x"))
    stub.on("POST", "/v1/runs", Answer(lost=True), Answer(201, run_document()))
    stub.on("POST", f"{RUN}/history", *answers, Answer(200, run_document()))
    stub.on("POST", f"{RUN}/finish", Answer(lost=True), Answer(200, run_document("succeeded")))
    with client.stream() as stream:
        stream(part_of(0, 128))
        stream(part_of(128, 200))
    assert stream.unsent is None
    keys = {asked.headers["idempotency-key"] for asked in stub.asked if asked.path == "/v1/runs"}
    assert len(keys) == 1
    first = [asked.body for asked in chunks_of(stub) if asked.query == "chunk=0"]
    assert len(first) == len(answers) + 1
    assert len(set(first)) == 1
    assert sent_history(stub)["loss"].steps.tolist() == list(range(200))


def test_an_exception_passes_through_and_is_told(stub: StubService, client: Client):
    stub.on("POST", f"{RUN}/finish", Answer(200, run_document("failed")))

    def train() -> None:
        with client.stream() as stream:
            stream(part_of(0, 50))
            raise RuntimeError("sizes \0 \ud800 differ")

    with pytest.raises(RuntimeError, match="sizes"):
        train()
    ended = stub.asked[-1].body
    assert (ended["status"], ended["error"]) == (
        "failed", {"step": 50, "type": "RuntimeError", "message": "sizes   ? differ"},
    )  # fmt: skip


def test_one_who_stops_it_by_hand_raised_nothing(stub: StubService, client: Client):
    with pytest.raises(KeyboardInterrupt), client.stream():
        raise KeyboardInterrupt
    assert stub.asked[-1].body == {"status": "failed"}


def test_without_a_service_nothing_waits_and_the_rest_is_kept(
    stub: StubService, closed_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with (
        caplog.at_level(logging.WARNING, "gradclinic"),
        Client(f"http://127.0.0.1:{closed_port}") as dead,
        dead.stream(name="nightly", finish_seconds=0.2, folder=tmp_path) as stream,
    ):
        for start in range(0, 384, 128):
            stream(part_of(start, start + 128))
    assert stream.run is None
    [kept] = tmp_path.iterdir()
    assert stream.unsent is not None
    for words in ("3 chunks", "were not sent", "No service answers", str(kept), "gradclinic upload"):
        assert words in stream.unsent
        assert words in caplog.text
    with Client(stub.url) as client:
        assert client.upload_unsent(kept).status == "succeeded"
    assert sent_history(stub)["loss"].steps.tolist() == list(range(384))
    assert stub.asked[0].body["name"] == "nightly"
    assert stub.asked[-1].body["facts"]["optimizer"] == "SGD"


def test_what_was_left_goes_to_the_run_that_was_begun(stub: StubService, client: Client, tmp_path: Path):
    stub.on("POST", f"{RUN}/history", Answer(200, run_document()), Answer(503))
    with client.stream(finish_seconds=0.3, folder=tmp_path) as stream:
        stream(part_of(0, 128))
        stream(part_of(128, 256))
        stream(part_of(256, 300))
    assert "2 chunks" in str(stream.unsent)
    stub.on("POST", f"{RUN}/history", Answer(200, run_document()))
    client.upload_unsent(next(tmp_path.iterdir()))
    assert sent_history(stub)["loss"].steps.tolist() == list(range(300))
    assert sum(asked.path == "/v1/runs" for asked in stub.asked) == 1


def test_a_refusal_ends_the_sending_and_nothing_else(stub: StubService, client: Client, tmp_path: Path):
    fault = {"pointer": "/columns/x", "detail": "This is no name.", "expected": "a name"}
    stub.on("POST", f"{RUN}/history", problem(422, "invalid_spec", "wrong", [fault]))
    with client.stream(folder=tmp_path) as stream:
        stream(part_of(0, 128))
        stream(part_of(128, 256))
    assert "This is no name" in str(stream.unsent)
    assert len(chunks_of(stub)) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_it_goes_on_after_the_last_chunk_of_a_run(stub: StubService, client: Client):
    stub.on("GET", RUN, Answer(200, run_document(chunks=5)))
    with client.stream(run_id=RUN_ID) as stream:
        stream(part_of(640, 768))
    assert [asked.query for asked in chunks_of(stub)] == ["chunk=5"]
    assert not any(asked.path == "/v1/runs" for asked in stub.asked)


def test_a_run_that_has_ended_takes_no_more(stub: StubService, client: Client, tmp_path: Path):
    stub.on("GET", RUN, Answer(200, run_document("succeeded", 5)))
    with client.stream(run_id=RUN_ID, folder=tmp_path) as stream:
        stream(part_of(640, 768))
    assert "succeeded: it takes no history" in str(stream.unsent)


def test_nothing_that_comes_in_raises(stub: StubService, client: Client, tmp_path: Path):
    with client.stream(folder=tmp_path) as stream:
        stream(None)  # type: ignore[arg-type]  # whatever a sink is given
        stream(part_of(0, 10))
    assert "1 parts are lost" in str(stream.unsent)
    assert sent_history(stub)["loss"].steps.tolist() == list(range(10))


def test_ending_it_twice_ends_it_once(stub: StubService, client: Client):
    stream: Stream = client.stream()
    first = stream.finish()
    assert stream.finish("failed") == first
    assert sum(asked.path == f"{RUN}/finish" for asked in stub.asked) == 1


def test_damaged_files_are_refused(client: Client, tmp_path: Path, closed_port: int):
    with Client(f"http://127.0.0.1:{closed_port}") as dead, dead.stream(finish_seconds=0.1, folder=tmp_path) as stream:
        stream(part_of(0, 128))
    whole = next(tmp_path.iterdir()).read_bytes()
    for content in (b"", whole[:8], whole[:40], b"x" + whole, whole[:8] + b"\xff\xff\xff\xff", whole[:-1]):
        (tmp_path / "damaged").write_bytes(content)
        with pytest.raises(InvalidHistory):
            client.upload_unsent(tmp_path / "damaged")


def test_upload_sends_all_of_it_and_returns_the_judged_run(stub: StubService, client: Client):
    history = part_of(0, 1000)
    run = client.upload(history, name="nightly", thresholds={"vanishing_gain": 0.5})
    assert (run.status, run.health) == ("succeeded", "critical")
    assert sent_history(stub)["loss"].values.tobytes() == history["loss"].values.tobytes()
    assert stub.asked[0].body["diagnosis"] == {"thresholds": {"vanishing_gain": 0.5}}
    assert stub.asked[0].body["facts"]["optimizer"] == "SGD"
    assert stub.asked[-1].body == {"status": "succeeded"}


def test_of_an_upload_that_is_refused_nothing_is_left(stub: StubService, client: Client):
    stub.on("POST", f"{RUN}/history", Answer(200, run_document()), problem(413, "runs_full", "No room."))
    stub.on("DELETE", RUN, Answer(204))
    with pytest.raises(RequestFailed, match="No room"):
        client.upload(part_of(0, 1000))
    assert [(asked.method, asked.path) for asked in stub.asked][-2:] == [("POST", f"{RUN}/history"), ("DELETE", RUN)]


def test_runs_are_listed_read_and_deleted(stub: StubService, client: Client):
    stub.on("GET", "/v1/runs", Answer(200, {"items": [run_document()], "next_cursor": "next"}))
    stub.on("GET", f"{RUN}/diagnosis", Answer(200, documents.diagnosis()))
    stub.on("DELETE", RUN, Answer(204))
    page = client.list_runs(kind="external", labels={"team": "vision"}, limit=1)
    assert (page.items[0].id, page.next_cursor) == (RUN_ID, "next")
    assert "label=team%3Avision" in stub.asked[0].query
    assert client.run_diagnosis(RUN_ID).health == "critical"
    client.delete_run(RUN_ID)
    with pytest.raises(RequestFailed):
        client.delete_run("other")
