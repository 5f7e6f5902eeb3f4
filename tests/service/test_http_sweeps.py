"""Posting, comparing, listing, cancelling and deleting sweeps, over both databases."""

from __future__ import annotations

import csv
import io
import threading
import time
import uuid
from typing import Any

import pytest

from gradclinic.contract.diagnosis import Diagnosis, Metric, Outcome
from gradclinic.history import RunFacts
from store.endings import finish_job, finish_run
from store.settings import Settings
from tests.service.hands import DIAGNOSIS, SPEC, Service, serving

SWEEP: dict[str, Any] = {"/optimizer/lr": [0.1, 0.01, 0.001], "/training/batch_size": [32, 64]}
DOCUMENT: dict[str, Any] = SPEC | {"sweep": SWEEP}


def post(service: Service, document: Any = DOCUMENT, **headers: str) -> dict[str, Any]:
    answer = service.client.post("/v1/sweeps", json=document, headers=headers)
    assert answer.status_code == 202, answer.text
    sweep: dict[str, Any] = answer.json()
    return sweep


def get(service: Service, sweep: dict[str, Any], **params: Any) -> dict[str, Any]:
    answer = service.client.get(sweep["links"]["self"], params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def end(service: Service, job_id: str, accuracy: float | None, diagnosis: Diagnosis = DIAGNOSIS) -> None:
    claim = service.claim(job_id)
    outcome = Outcome(train_loss=1.5, val_loss=2.5, metric=Metric(name="accuracy", value=accuracy), steps=10)
    with service.store.writing() as writer:
        finish_run(writer, claim, facts=RunFacts(outcome=outcome), diagnosis=diagnosis)
        finish_job(writer, claim.job_id, diagnosis)


def faults_of(service: Service, document: Any) -> list[dict[str, Any]]:
    answer = service.client.post("/v1/sweeps", json=document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")
    faults: list[dict[str, Any]] = answer.json()["errors"]
    return faults


def test_a_posted_sweep_makes_a_job_for_each_combination_under_one_id(service: Service):
    answer = service.client.post("/v1/sweeps", json=DOCUMENT)
    sweep = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/sweeps/{sweep['id']}" == sweep["links"]["self"]
    assert answer.headers["Retry-After"] == "1"
    assert (sweep["status"], sweep["jobs"], sweep["best"]) == ("live", {"queued": 6}, None)
    assert (sweep["spec"], sweep["sweep"]) == (SPEC, SWEEP)
    values = [(row["values"]["/optimizer/lr"], row["values"]["/training/batch_size"]) for row in sweep["rows"]]
    assert values == [(0.1, 32), (0.1, 64), (0.01, 32), (0.01, 64), (0.001, 32), (0.001, 64)]
    assert get(service, sweep) == sweep
    for row in sweep["rows"]:
        job = service.client.get(f"/v1/jobs/{row['job']}").json()
        assert (job["sweep"], job["links"]["sweep"]) == (sweep["id"], sweep["links"]["self"])
        assert job["spec"]["optimizer"]["lr"] == row["values"]["/optimizer/lr"]
        assert job["spec"]["training"] == {"steps": 10, "batch_size": row["values"]["/training/batch_size"]}


def test_the_jobs_can_be_listed_by_their_sweep(service: Service):
    sweep = post(service)
    service.post()
    listed = service.client.get(sweep["links"]["jobs"]).json()["items"]
    assert {job["id"] for job in listed} == {row["job"] for row in sweep["rows"]}


class TestTable:
    @pytest.fixture
    def ended(self, service: Service) -> dict[str, Any]:
        """A sweep of three, of which two have ended, the worse one first."""
        sweep = post(service, SPEC | {"name": "a, b", "sweep": {"/optimizer/lr": [0.1, 0.01, 0.001]}})
        end(service, sweep["rows"][0]["job"], 0.25)
        end(service, sweep["rows"][2]["job"], 0.75, Diagnosis(health="healthy", outcome=None, findings=[]))
        return get(service, sweep)

    def test_a_row_has_what_came_of_its_combination(self, ended: dict[str, Any]):
        first, second, third = ended["rows"]
        assert (first["status"], first["health"], first["findings"]) == (
            "succeeded", "critical", ["vanishing_gradient"],
        )  # fmt: skip
        assert first["outcome"]["metric"] == {"name": "accuracy", "value": 0.25}
        assert (second["status"], second["health"], second["outcome"], second["findings"]) == ("queued", None, None, [])
        assert (ended["compared_by"], ended["best"]) == ("accuracy", third["job"])
        assert ended["jobs"] == {"queued": 1, "succeeded": 2}

    def test_rows_can_be_had_best_first(self, service: Service, ended: dict[str, Any]):
        assert [row["number"] for row in get(service, ended, sort="best")["rows"]] == [2, 0, 1]
        assert [row["number"] for row in get(service, ended, sort="posted")["rows"]] == [0, 1, 2]

    @pytest.mark.parametrize(
        "asked",
        [
            {"params": {"format": "csv"}},
            {"headers": {"Accept": "text/csv"}},
            {"headers": {"Accept": "application/json;q=0.5, text/csv"}},
        ],
    )
    def test_it_comes_as_csv_too(self, service: Service, ended: dict[str, Any], asked: dict[str, Any]):
        answer = service.client.get(ended["links"]["self"], **asked)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Vary"] == "Accept"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert list(rows[0]) == [
            "number", "/optimizer/lr", "job", "status", "health", "train_loss", "val_loss", "metric_name", "metric",
            "findings", "best",
        ]  # fmt: skip
        assert [row["/optimizer/lr"] for row in rows] == ["0.1", "0.01", "0.001"]
        assert [row["metric"] for row in rows] == ["0.25", "", "0.75"]
        assert [row["findings"] for row in rows] == ["vanishing_gradient", "", ""]
        assert [row["best"] for row in rows] == ["false", "false", "true"]

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "text/csv;q=0.1, application/json", "", "text/html"])
    def test_it_is_json_where_csv_was_not_asked_for(self, service: Service, ended: dict[str, Any], accept: str):
        answer = service.client.get(ended["links"]["self"], headers={"Accept": accept})
        assert answer.json()["id"] == ended["id"]

    def test_an_unknown_order_is_refused(self, service: Service, ended: dict[str, Any]):
        answer = service.client.get(ended["links"]["self"], params={"sort": "worst"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/sort")


class TestWrongSweeps:
    def test_a_wrong_value_is_named_with_its_combination_and_nothing_is_made(self, service: Service):
        name = uuid.uuid4().hex
        document = SPEC | {"name": name, "sweep": {"/optimizer/lr": [0.1, -1.0], "/training/batch_size": [32, 0]}}
        faults = faults_of(service, document)
        assert [fault["pointer"] for fault in faults] == [
            "/sweep/~1training~1batch_size/1",
            "/sweep/~1optimizer~1lr/1",
        ]
        assert "Combination 2 (/optimizer/lr = -1.0, /training/batch_size = 32), and 1 more." in faults[1]["detail"]
        assert service.client.get("/v1/jobs", params={"name": name}).json()["items"] == []

    def test_what_does_not_fit_the_shapes_is_found_before_any_job_is_made(self, service: Service):
        faults = faults_of(service, SPEC | {"sweep": {"/model/layers/3/out_features": [3, 1]}})
        assert [fault["pointer"] for fault in faults] == ["/sweep/~1model~1layers~13~1out_features/1"]
        assert "Combination 1" in faults[0]["detail"]

    def test_a_fault_of_the_spec_itself_is_told_once_at_its_place(self, service: Service):
        faults = faults_of(service, DOCUMENT | {"loss": {"type": "CrossEntropy"}})
        assert [fault["pointer"] for fault in faults] == ["/loss/type"]
        assert "Combination" not in faults[0]["detail"]

    def test_thresholds_are_checked_too(self, service: Service):
        faults = faults_of(service, SPEC | {"sweep": {"/diagnosis/thresholds/nonsense": [1.0]}})
        assert faults[0]["pointer"] == "/sweep/~1diagnosis~1thresholds~1nonsense/0"

    @pytest.mark.parametrize(
        ("document", "pointer"),
        [
            (SPEC, "/sweep"),
            (SPEC | {"sweep": {}}, "/sweep"),
            (SPEC | {"sweep": [1]}, "/sweep"),
            (SPEC | {"sweep": {"/optimizer/lr": []}}, "/sweep/~1optimizer~1lr"),
            (SPEC | {"sweep": {"lr": [0.1]}}, "/sweep/lr"),
            (SPEC | {"sweep": {"/optimizer/lr/0": [0.1]}}, "/sweep/~1optimizer~1lr~10"),
            (SPEC | {"sweep": {"/model/layers/4": [{"type": "ReLU"}]}}, "/sweep/~1model~1layers~14"),
            (SPEC | {"sweep": {"/optimizer/lr": [0.1, 0.2, 0.1]}}, "/sweep/~1optimizer~1lr/2"),
            (
                SPEC | {"sweep": {"/optimizer/lr": [0.1], "/optimizer": [{"type": "SGD", "lr": 1}]}},
                "/sweep/~1optimizer",
            ),
            (SPEC | {"sweep": {"/training/seed": list(range(101))}}, "/sweep"),
            ([], ""),
        ],
    )
    def test_a_sweep_that_is_none_is_refused_at_its_place(self, service: Service, document: Any, pointer: str):
        assert [fault["pointer"] for fault in faults_of(service, document)] == [pointer]

    def test_the_number_of_jobs_is_a_setting(self, tmp_path: Any):
        settings = Settings(data_dir=tmp_path, database_url=None, broker_url=None, api_keys=(), max_sweep=5)
        with serving(settings) as small:
            faults = faults_of(small, DOCUMENT)
        assert "6 jobs, more than the limit of 5" in faults[0]["detail"]

    def test_a_spec_with_a_sweep_is_no_job(self, service: Service):
        answer = service.client.post("/v1/jobs", json=DOCUMENT)
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/sweep"]


class TestIdempotency:
    def test_the_same_key_and_body_get_the_first_answer(self, service: Service):
        key = uuid.uuid4().hex
        first = service.client.post("/v1/sweeps", json=DOCUMENT, headers={"Idempotency-Key": key})
        end(service, first.json()["rows"][0]["job"], 0.5)
        again = service.client.post("/v1/sweeps", json=DOCUMENT, headers={"Idempotency-Key": key})
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]

    def test_the_same_key_with_another_body_or_at_another_place_is_refused(self, service: Service):
        key = uuid.uuid4().hex
        post(service, **{"Idempotency-Key": key})
        for path, document in (("/v1/sweeps", DOCUMENT | {"name": "other"}), ("/v1/jobs", SPEC)):
            answer = service.client.post(path, json=document, headers={"Idempotency-Key": key})
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


class TestWaiting:
    def test_an_answer_can_be_held_until_all_jobs_have_ended(self, service: Service):
        sweep = post(service, SPEC | {"sweep": {"/optimizer/lr": [0.1, 0.2]}})

        def work() -> None:
            for row in sweep["rows"]:
                time.sleep(0.15)
                end(service, row["job"], 0.5)

        worker = threading.Thread(target=work)
        worker.start()
        answer = service.client.get(sweep["links"]["self"], headers={"Prefer": "wait=20"})
        worker.join()
        assert answer.json()["status"] == "ended"
        assert answer.json()["jobs"] == {"succeeded": 2}
        assert answer.headers["Preference-Applied"] == "wait=20"
        assert "Retry-After" not in answer.headers

    def test_waiting_in_vain_shows_the_sweep_as_it_is(self, service: Service):
        answer = service.client.post("/v1/sweeps", json=DOCUMENT, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["status"]) == (202, "live")
        assert answer.headers["Location"] == answer.json()["links"]["self"]


def test_sweeps_are_listed_newest_first(embedded: Service):
    ids = [post(embedded)["id"] for _ in range(3)]
    page = embedded.client.get("/v1/sweeps", params={"limit": 2})
    rest = embedded.client.get(page.links["next"]["url"])
    assert [sweep["id"] for sweep in (*page.json()["items"], *rest.json()["items"])][:3] == ids[::-1]
    assert "rows" not in page.json()["items"][0]
    assert page.json()["items"][0]["jobs"] == {"queued": 6}
    wrong = embedded.client.get("/v1/sweeps", params={"cursor": "mine"})
    assert wrong.json()["errors"][0]["pointer"] == "/query/cursor"


def test_cancelling_and_deleting(service: Service):
    sweep = post(service)
    here = sweep["links"]["self"]
    end(service, sweep["rows"][0]["job"], 0.5)
    refused = service.client.delete(here)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_is_live")

    cancelled = service.client.post(sweep["links"]["cancel"])
    assert (cancelled.status_code, cancelled.json()["jobs"]) == (202, {"cancelled": 5, "succeeded": 1})
    assert service.client.post(sweep["links"]["cancel"]).status_code == 200

    assert service.client.delete(here).status_code == 204
    assert service.client.get(here).status_code == 404
    assert service.client.get(f"/v1/jobs/{sweep['rows'][0]['job']}").status_code == 404


def test_every_link_of_a_sweep_leads_somewhere(service: Service):
    sweep = post(service, SPEC | {"sweep": {"/optimizer/lr": [0.1]}})
    for name, link in sweep["links"].items():
        answer = service.client.request("POST" if name == "cancel" else "GET", link)
        assert answer.is_success, (name, answer.text)


@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_sweep_is_a_404(service: Service, method: str):
    for sweep_id in ("nothing", "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"):
        answer = getattr(service.client, method)(f"/v1/sweeps/{sweep_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
