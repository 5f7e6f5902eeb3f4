"""The events of a job: what comes, in which order, and how a listener goes on after a lost connection."""

import json
import threading
import time

import pytest

import service.events
import service.watching
from gradclinic.contract.event import EndEvent, FindingEvent, ProgressEvent, StatusEvent
from gradclinic.contract.job import EarlyFinding, Progress
from service.events import Known, news, read_known
from store.early import save_early_findings
from store.queue import record_progress
from store.watching import Glimpse
from tests.service.hands import DIAGNOSIS, Service

EARLY = EarlyFinding(rule="non_finite", severity="critical", step=4, summary="At step 3 the loss is not finite.")


def parsed(text):
    """Return the events of a stream as (event, id, data)."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def besides_progress(events):
    """Name the events, without those of progress: trials are planned at any time."""
    return [name for name, _, _ in events if name != "progress"]


def listen(service: Service, job_id, last=None):
    headers = {"Last-Event-ID": last} if last else {}
    return service.client.get(f"/v1/jobs/{job_id}/events", headers=headers)


def work(service: Service, job_id):
    """Train a job by hand: some progress, an early finding, the end."""
    time.sleep(0.5)
    claim = service.claim(job_id)
    time.sleep(0.5)
    with service.store.writing() as writer:
        record_progress(writer, claim, 4)
        save_early_findings(writer, claim, [EARLY])
    time.sleep(0.5)
    service.finish(claim)


def test_events_come_in_order_while_a_job_is_at_work(service: Service):
    job = service.post()
    worker = threading.Thread(target=work, args=(service, job["id"]))
    worker.start()
    answer = listen(service, job["id"])
    worker.join()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.text.startswith("retry: ")
    events = parsed(answer.text)
    assert besides_progress(events) == ["status", "status", "finding", "finding", "status", "end"]
    names = [name if name != "progress" else data["progress"]["step"] for name, _, data in events]
    assert names.index(4) < names.index("finding")
    assert [data["status"] for name, _, data in events if name == "status"] == ["queued", "training", "succeeded"]
    told = [data["finding"] for name, _, data in events if name == "finding"]
    assert told[0] == EARLY.model_dump()
    assert [one["rule"] for one in told] == ["non_finite", *(finding.rule for finding in DIAGNOSIS.findings)]
    assert events[-1][2] == {"event": "end", "status": "succeeded", "health": "critical", "error": None}
    shown = service.client.get(f"/v1/jobs/{job['id']}").json()
    assert shown["progress"]["findings"] == [EARLY.model_dump()]
    assert shown["links"]["events"] == f"/v1/jobs/{job['id']}/events"


def test_a_listener_goes_on_after_any_event_without_loss_or_repetition(service: Service):
    job = service.post()
    claim = service.claim(job["id"])
    with service.store.writing() as writer:
        save_early_findings(writer, claim, [EARLY])
    service.finish(claim)
    whole = parsed(listen(service, job["id"]).text)
    assert len(whole) > 3
    for place, (_, last, _) in enumerate(whole[:-1]):
        assert parsed(listen(service, job["id"], last).text) == whole[place + 1 :]
    assert listen(service, job["id"], whole[-1][1]).status_code == 204


def test_an_id_that_is_none_of_ours_begins_anew(embedded: Service):
    job = embedded.post()
    embedded.client.post(f"/v1/jobs/{job['id']}/cancel")
    whole = parsed(listen(embedded, job["id"]).text)
    assert besides_progress(whole) == ["status", "end"]
    assert parsed(listen(embedded, job["id"], "what is this").text) == whole


def test_another_attempt_begins_with_no_findings():
    def seen(attempt, step, findings):
        return Glimpse(1, attempt, "training", None, Progress(step=step, steps=10, findings=findings), None)

    first = list(news(seen(1, 5, [EARLY]), [EARLY], Known()))
    assert [type(event) for _, event in first] == [StatusEvent, ProgressEvent, FindingEvent]
    again = list(news(seen(2, 5, [EARLY]), [EARLY], first[-1][0]))
    assert [type(event) for _, event in again] == [ProgressEvent, FindingEvent]
    assert list(news(seen(2, 5, [EARLY]), [EARLY], read_known(str(again[-1][0])))) == []


def test_of_a_failed_job_the_end_says_why(embedded: Service):
    job = embedded.post()
    embedded.fail(embedded.claim(job["id"]))
    name, _, data = parsed(listen(embedded, job["id"]).text)[-1]
    end = EndEvent.model_validate(data)
    assert (name, end.status, end.health) == ("end", "failed", None)
    assert end.error is not None
    assert end.error.type == "internal_error"


def test_a_job_that_there_is_not_has_no_events(embedded: Service):
    for job_id in ("nonsense", "0" * 32):
        answer = listen(embedded, job_id)
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def test_too_many_listeners_are_told_so(embedded: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service.watching, "LISTENERS", 0)
    answer = listen(embedded, embedded.post()["id"])
    assert (answer.status_code, answer.json()["code"]) == (503, "listeners_full")
    assert answer.headers["Retry-After"] == "1"
    monkeypatch.undo()


def test_places_are_given_back_and_silence_is_broken(embedded: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service.events, "HEARTBEAT_SECONDS", 0.1)
    job = embedded.post()
    threading.Timer(0.8, embedded.client.post, (f"/v1/jobs/{job['id']}/cancel",)).start()
    assert listen(embedded, job["id"]).text.count(": ping") >= 3
    watchers = embedded.app.state.watchers
    assert (watchers._open, watchers._watched) == (0, {})


def test_many_listeners_share_the_looks(embedded: Service, monkeypatch: pytest.MonkeyPatch):
    """Fifty of them cost the database no more than one."""
    looks = []
    read = service.watching.glimpse_jobs
    monkeypatch.setattr(service.watching, "glimpse_jobs", lambda *args: looks.append(args[1]) or read(*args))
    job = embedded.post()
    threading.Timer(1.0, embedded.client.post, (f"/v1/jobs/{job['id']}/cancel",)).start()
    told = []
    listeners = [
        threading.Thread(target=lambda: told.append(parsed(listen(embedded, job["id"]).text))) for _ in range(50)
    ]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    assert [[name for name, _, _ in events][-1] for events in told] == ["end"] * 50
    assert len(looks) < 50  # one when the first came, and four a second


def test_streams_end_when_the_service_stops(serve):
    started = serve()
    job = started.post()
    threading.Timer(0.5, started.app.state.stopping.set).start()
    began = time.monotonic()
    assert besides_progress(parsed(listen(started, job["id"]).text)) == ["status"]
    assert time.monotonic() - began < 5


def test_a_database_that_is_away_for_a_moment_ends_no_stream(embedded: Service, monkeypatch: pytest.MonkeyPatch):
    job = embedded.post()
    read, failed = service.watching.glimpse_jobs, []

    def troubled(*args):
        if len(failed) < 2:
            failed.append(1)
            raise service.watching.DATABASE_TROUBLE[0]("away", None, Exception())
        return read(*args)

    def break_then_cancel():
        monkeypatch.setattr(service.watching, "glimpse_jobs", troubled)
        time.sleep(1.0)
        embedded.client.post(f"/v1/jobs/{job['id']}/cancel")

    threading.Timer(0.5, break_then_cancel).start()
    assert [name for name, _, _ in parsed(listen(embedded, job["id"]).text)][-1] == "end"
    assert len(failed) == 2
