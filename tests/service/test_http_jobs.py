"""Posting, looking, listing, cancelling and deleting jobs, over both databases."""

from __future__ import annotations

import copy
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.service.hands import SPEC, Service, small_history


def test_a_posted_spec_becomes_a_queued_job(service: Service):
    answer = service.client.post("/v1/jobs", json=SPEC)
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["ETag"].startswith('"')
    assert (job["status"], job["health"], job["spec"]) == ("queued", None, SPEC)
    assert job["progress"] == {"step": 0, "steps": 10, "trials": 0, "trials_planned": 14, "findings": []}
    assert service.client.get(answer.headers["Location"]).json() == job


def test_every_link_of_a_job_and_a_run_leads_somewhere(service: Service):
    job = service.post()
    service.finish(service.claim(job["id"]))
    run = service.client.get(job["links"]["runs"]).json()["items"][0]
    links = [*job["links"].items(), *run["links"].items()]
    for name, link in links:
        answer = service.client.request("POST" if name == "cancel" else "GET", link)
        assert answer.status_code == 200, (name, answer.text)


class TestIdempotency:
    def test_the_same_key_and_body_get_the_first_answer(self, service: Service):
        key = uuid.uuid4().hex
        first = service.client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": key})
        service.claim(first.json()["id"])
        again = service.client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": key})
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers

    def test_the_order_of_keys_in_the_body_is_no_difference(self, service: Service):
        key = uuid.uuid4().hex
        first = service.post(**{"Idempotency-Key": key})
        assert service.post(dict(reversed(SPEC.items())), **{"Idempotency-Key": key})["id"] == first["id"]

    def test_the_same_key_with_another_body_is_refused(self, service: Service):
        key = uuid.uuid4().hex
        service.post(**{"Idempotency-Key": key})
        answer = service.client.post("/v1/jobs", json=SPEC | {"name": "other"}, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")

    def test_a_wrong_spec_does_not_use_the_key_up(self, service: Service):
        key = uuid.uuid4().hex
        assert service.client.post("/v1/jobs", json={}, headers={"Idempotency-Key": key}).status_code == 422
        service.post(**{"Idempotency-Key": key})

    def test_requests_at_the_same_moment_make_one_job(self, service: Service):
        name = uuid.uuid4().hex
        with ThreadPoolExecutor(6) as pool:
            ids = pool.map(lambda _: service.post(SPEC | {"name": name}, **{"Idempotency-Key": name})["id"], range(6))
        assert len(set(ids)) == 1
        assert len(service.client.get("/v1/jobs", params={"name": name}).json()["items"]) == 1

    @pytest.mark.parametrize("key", ["", "x" * 256, "with space"])
    def test_a_key_that_is_none_is_refused_at_its_place(self, service: Service, key: str):
        answer = service.client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": key})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"


class TestCaching:
    def test_a_job_that_did_not_change_is_a_304(self, service: Service):
        job = service.post()
        tag = service.client.get(f"/v1/jobs/{job['id']}").headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)

    def test_a_change_changes_the_tag(self, service: Service):
        job = service.post()
        tag = service.client.get(f"/v1/jobs/{job['id']}").headers["ETag"]
        service.claim(job["id"])
        answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": tag})
        assert (answer.status_code, answer.json()["status"]) == (200, "training")
        assert answer.headers["ETag"] != tag

    def test_progress_changes_the_tag(self, service: Service):
        job = service.post()
        claim = service.claim(job["id"])
        before = service.client.get(f"/v1/jobs/{job['id']}").headers["ETag"]
        service.record(claim, small_history())
        after = service.client.get(f"/v1/jobs/{job['id']}")
        assert (after.headers["ETag"] != before, after.json()["progress"]["step"]) == (True, 10)

    def test_only_a_live_job_is_worth_asking_again(self, service: Service):
        job = service.post()
        assert "Retry-After" in service.client.get(f"/v1/jobs/{job['id']}").headers
        service.finish(service.claim(job["id"]))
        assert "Retry-After" not in service.client.get(f"/v1/jobs/{job['id']}").headers


class TestWaiting:
    @pytest.mark.parametrize("how", [{"headers": {"Prefer": "respond-async, wait=20"}}, {"params": {"wait": 20}}])
    def test_the_answer_is_held_until_the_job_ends(self, service: Service, how: dict[str, Any]):
        job = service.post()
        claim = service.claim(job["id"])
        ending = threading.Timer(0.3, service.finish, [claim])
        ending.start()
        answer = service.client.get(f"/v1/jobs/{job['id']}", **how)
        ending.join()
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert answer.headers["Preference-Applied"] == "wait=20"

    def test_who_waits_in_vain_gets_the_job_as_it_is(self, service: Service):
        job = service.post()
        started = time.monotonic()
        answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert 0.9 < time.monotonic() - started < 5

    def test_an_ended_job_is_not_waited_for(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        started = time.monotonic()
        assert service.client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=30"}).status_code == 200
        assert time.monotonic() - started < 5

    def test_a_post_can_wait_too(self, service: Service):
        answer = service.client.post("/v1/jobs", json=SPEC, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        assert answer.headers["Preference-Applied"] == "wait=1"
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"

    def test_the_wait_is_capped(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=100000"})
        assert answer.headers["Preference-Applied"] == "wait=60"

    @pytest.mark.parametrize("prefer", ["wait=-1", "wait", "wait=soon", "await=3", "handling=lenient"])
    def test_a_preference_that_cannot_be_read_is_none(self, service: Service, prefer: str):
        job = service.post()
        answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": prefer})
        assert answer.status_code == 200
        assert "Preference-Applied" not in answer.headers

    def test_a_wrong_wait_in_the_query_is_refused(self, service: Service):
        job = service.post()
        answer = service.client.get(f"/v1/jobs/{job['id']}", params={"wait": "soon"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/wait")

    def test_a_service_that_stops_lets_those_who_wait_go(self, service: Service):
        job = service.post()
        stopping = threading.Timer(0.2, service.app.state.stopping.set)
        stopping.start()
        started = time.monotonic()
        answer = service.client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=30"})
        stopping.join()
        service.app.state.stopping.clear()
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert time.monotonic() - started < 5


class TestList:
    def test_pages_hold_every_job_once_newest_first(self, service: Service):
        team = uuid.uuid4().hex
        posted = [service.post(SPEC | {"labels": {"team": team}})["id"] for _ in range(5)]
        found: list[str] = []
        link: str | None = f"/v1/jobs?label=team:{team}&limit=2"
        while link:
            answer = service.client.get(link)
            page = answer.json()
            found += [job["id"] for job in page["items"]]
            assert (page["next_cursor"] is None) == ("Link" not in answer.headers)
            link = answer.links["next"]["url"] if "Link" in answer.headers else None
        assert found == posted[::-1]

    def test_filters_come_together(self, service: Service):
        team = uuid.uuid4().hex
        for name, size in (("a", "s"), ("a", "m"), ("b", "s")):
            service.post(SPEC | {"name": name, "labels": {"team": team, "size": size}})
        query = {"label": [f"team:{team}", "size:s"], "name": "a", "status": "queued"}
        (job,) = service.client.get("/v1/jobs", params=query).json()["items"]
        assert (job["name"], job["labels"]) == ("a", {"team": team, "size": "s"})

    def test_health_filters(self, service: Service):
        team = uuid.uuid4().hex
        job = service.post(SPEC | {"labels": {"team": team}})
        service.post(SPEC | {"labels": {"team": team}})
        service.finish(service.claim(job["id"]))
        query = {"label": f"team:{team}", "health": "critical"}
        assert [j["id"] for j in service.client.get("/v1/jobs", params=query).json()["items"]] == [job["id"]]

    def test_a_label_may_hold_a_colon_in_its_value(self, service: Service):
        url = f"https://ci/{uuid.uuid4().hex}"
        job = service.post(SPEC | {"labels": {"build": url}})
        assert service.client.get("/v1/jobs", params={"label": f"build:{url}"}).json()["items"][0]["id"] == job["id"]

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("limit=0", "/query/limit"),
            ("limit=201", "/query/limit"),
            ("limit=many", "/query/limit"),
            ("limit=" + "9" * 5000, "/query/limit"),
            ("status=done", "/query/status"),
            ("health=fine", "/query/health"),
            ("label=team", "/query/label"),
            ("label=a:1&label=a:2", "/query/label"),
            ("label=a:%00", "/query/label"),
            ("name=%00", "/query/name"),
            ("cursor=nonsense", "/query/cursor"),
            ("cursor=%ff%00", "/query/cursor"),
            ("nmae=typo", "/query/nmae"),
        ],
    )
    def test_a_wrong_parameter_is_refused_at_its_place(self, service: Service, query: str, place: str):
        answer = service.client.get(f"/v1/jobs?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, place)


class TestEnding:
    def test_a_queued_job_is_cancelled_at_once(self, service: Service):
        job = service.post()
        answer = service.client.post(f"/v1/jobs/{job['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")

    def test_a_training_job_is_asked_to_stop(self, service: Service):
        job = service.post()
        claim = service.claim(job["id"])
        answer = service.client.post(f"/v1/jobs/{job['id']}/cancel").json()
        assert (answer["status"], answer["cancel_requested"]) == ("training", True)
        service.cancelled(claim)
        assert service.client.get(f"/v1/jobs/{job['id']}").json()["status"] == "cancelled"

    def test_cancelling_an_ended_job_changes_nothing(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        before = service.client.get(f"/v1/jobs/{job['id']}")
        answer = service.client.post(f"/v1/jobs/{job['id']}/cancel")
        assert (answer.status_code, answer.json()) == (200, before.json())

    def test_an_ended_job_is_deleted_with_its_runs(self, service: Service):
        job = service.post()
        claim = service.claim(job["id"])
        service.record(claim, small_history())
        service.finish(claim)
        answer = service.client.delete(f"/v1/jobs/{job['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        for path in (f"/v1/jobs/{job['id']}", f"/v1/runs/{claim.run_id}", f"/v1/runs/{claim.run_id}/history"):
            assert service.client.get(path).status_code == 404

    def test_a_live_job_is_not_deleted(self, service: Service):
        job = service.post()
        answer = service.client.delete(f"/v1/jobs/{job['id']}")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_is_live")

    def test_a_failed_job_says_why(self, service: Service):
        job = service.post()
        service.fail(service.claim(job["id"]))
        ended = service.client.get(f"/v1/jobs/{job['id']}").json()
        assert (ended["status"], ended["error"]["type"]) == ("failed", "internal_error")


@pytest.mark.parametrize("id", ["none", "00000000-0000-7000-8000-000000000000", "%00", "a" * 5000, "%F0%9F%92%A9"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/{}"),
        ("DELETE", "/v1/jobs/{}"),
        ("POST", "/v1/jobs/{}/cancel"),
        ("GET", "/v1/jobs/{}/runs"),
        ("GET", "/v1/jobs/{}/diagnosis"),
        ("POST", "/v1/jobs/{}/fixes/x/apply"),
        ("GET", "/v1/runs/{}"),
        ("GET", "/v1/runs/{}/diagnosis"),
        ("GET", "/v1/runs/{}/history"),
    ],
)
def test_what_does_not_exist_is_a_404(service: Service, method: str, path: str, id: str):
    answer = service.client.request(method, path.format(id))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_posting_does_not_change_the_document(service: Service):
    """What comes back is the spec as posted, with its number written as an integer and its key order."""
    spec = copy.deepcopy(SPEC)
    spec["optimizer"]["lr"] = 1
    job = service.post(spec)
    assert job["spec"] == spec
    assert list(job["spec"]) == list(spec)
    assert isinstance(job["spec"]["optimizer"]["lr"], int)
