"""Listening to a job: events as contract objects, in order, over lost connections."""

import json

import pytest

from gradclinic.client import Client, event_calls
from gradclinic.contract.event import EndEvent, FindingEvent, ProgressEvent, StatusEvent
from gradclinic.errors import RequestFailed, ServiceUnreachable
from tests.gradclinic.client.stub_service import Answer, StubService, problem

JOB_ID = "0123"
PATH = f"/v1/jobs/{JOB_ID}/events"
STATUS = {"event": "status", "status": "training", "health": None, "attempt": 1}
PROGRESS = {"event": "progress", "progress": {"step": 5, "steps": 10}}
FINDING = {
    "event": "finding",
    "finding": {"rule": "non_finite", "severity": "critical", "step": 5, "summary": "It is not finite."},
}
END = {"event": "end", "status": "succeeded", "health": "critical", "error": None}


def stream(*events, first=0, ending=""):
    """Write events as a service does; their ids are their numbers."""
    blocks = [
        f"event: {event['event']}\ndata: {json.dumps(event)}\nid: {number}\n\n"
        for number, event in enumerate(events, first)
    ]
    return Answer(200, "retry: 10\n\n" + "".join(blocks) + ending, content_type="text/event-stream")


def test_events_come_as_objects_until_the_end(stub: StubService, client: Client):
    stub.on("GET", PATH, stream(STATUS, PROGRESS, FINDING, END))
    kinds = [type(event) for event in client.events(JOB_ID)]
    assert kinds == [StatusEvent, ProgressEvent, FindingEvent, EndEvent]
    assert len(stub.asked) == 1
    assert stub.asked[0].headers["accept"] == "text/event-stream"


def test_a_lost_stream_goes_on_after_the_last_event(stub: StubService, client: Client):
    half = stream(STATUS, PROGRESS, ending="event: finding\nda")
    stub.on(
        "GET", PATH, half, Answer(lost=True), problem(503, "listeners_full", "Full."), stream(FINDING, END, first=2)
    )
    assert [event.event for event in client.events(JOB_ID)] == ["status", "progress", "finding", "end"]
    assert [asked.headers.get("last-event-id") for asked in stub.asked] == [None, "1", "1", "1"]


def test_what_a_newer_service_tells_is_left_out(stub: StubService, client: Client):
    stub.on("GET", PATH, stream({"event": "weather", "rain": True}, {**STATUS, "mood": "good"}, END))
    assert [event.event for event in client.events(JOB_ID)] == ["status", "end"]


def test_a_job_that_there_is_not_is_told(stub: StubService, client: Client):
    stub.on("GET", PATH, problem(404, "not_found", "There is no such job."))
    with pytest.raises(RequestFailed, match="no such job"):
        next(client.events(JOB_ID))


def test_a_service_that_stays_away_is_told(stub: StubService, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_calls, "RESTART_SECONDS", 0.05)
    stub.on("GET", PATH, stream(STATUS), Answer(lost=True))
    heard = client.events(JOB_ID)
    assert next(heard).event == "status"
    with pytest.raises(ServiceUnreachable, match="The job itself goes on"):
        next(heard)


def test_an_event_that_is_none_is_not_understood(stub: StubService, client: Client):
    stub.on("GET", PATH, stream({"event": "status", "status": "asleep"}))
    with pytest.raises(ServiceUnreachable, match="not understood"):
        next(client.events(JOB_ID))
