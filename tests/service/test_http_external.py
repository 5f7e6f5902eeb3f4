"""Runs from outside over HTTP: begun, filled, ended and judged, listed and deleted; on both databases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradclinic.client.upload import facts_document
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Run
from gradclinic.contract.limits import Limits
from gradclinic.diagnosis import diagnose
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable
from gradclinic.history.packed import MAGIC, MEDIA_TYPE, pack_part
from tests.service.hands import SPEC, Service, small_history

PACKED = {"Content-Type": MEDIA_TYPE}
DEEP = 12


def begin(service: Service, document: Any = None, **headers: str) -> str:
    answer = service.client.post("/v1/runs", json=document or {}, headers=headers)
    assert answer.status_code == 201, answer.text
    run_id: str = answer.json()["id"]
    return run_id


def send(service: Service, run_id: str, number: Any, body: Any) -> httpx2.Response:
    path = f"/v1/runs/{run_id}/history?chunk={number}"
    if isinstance(body, History):
        body = pack_part(body)
    if isinstance(body, bytes):
        return service.client.post(path, content=body, headers=PACKED)
    return service.client.post(path, json=body)


def finish(service: Service, run_id: str, document: Any = None) -> httpx2.Response:
    return service.client.post(f"/v1/runs/{run_id}/finish", json=document or {})


def problem(answer: httpx2.Response, status: int, code: str) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def vanishing(steps: int = 60) -> History:
    """A deep stack that loses its gradient and learns nothing."""
    at = np.arange(steps)
    names = [f"layers.{place}" for place in range(DEEP)]
    norms = np.tile(10.0 ** np.arange(-DEEP, 0), (steps, 1))
    tables = {
        "loss": SignalTable(at, (WHOLE_STEP,), np.full((steps, 1), 2.3)),
        "activation_grad_norm": SignalTable(at, tuple(names), norms),
        "grad_norm": SignalTable(
            at, (WHOLE_STEP, *(f"{name}.weight" for name in names)), np.column_stack([np.ones(steps), norms])
        ),
    }
    layers = [LayerFacts(name=name, type="Linear", parameters=[f"{name}.weight"]) for name in names]
    return History(tables, RunFacts(layers=layers, optimizer="SGD"))


def test_a_run_begins_at_once(service: Service):
    answer = service.client.post("/v1/runs", json={"name": "nightly", "labels": {"team": "vision"}})
    run = Run.model_validate_json(answer.content)
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/runs/{run.id}")
    assert (run.kind, run.status, run.name, run.labels, run.chunks) == (
        "external", "training", "nightly", {"team": "vision"}, 0,
    )  # fmt: skip
    assert run.links["finish"] == f"/v1/runs/{run.id}/finish"
    assert service.client.get(f"/v1/runs/{run.id}").json() == answer.json()
    assert service.client.get(f"/v1/runs/{run.id}/diagnosis").json()["code"] == "diagnosis_not_ready"


def test_the_same_key_begins_one_run(service: Service):
    first, again = (service.client.post("/v1/runs", json={}, headers={"Idempotency-Key": "run-1"}) for _ in range(2))
    assert (first.json(), again.headers["Idempotency-Replayed"]) == (again.json(), "true")
    other = service.client.post("/v1/runs", json={"name": "other"}, headers={"Idempotency-Key": "run-1"})
    problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        ({"name": 5}, "/name"),
        ({"facts": {"layers": [{"type": "Linear"}]}}, "/facts/layers/0/name"),
        ({"diagnosis": {"thresholds": {"vanishing": 1.0}}}, "/diagnosis/thresholds/vanishing"),
        ({"diagnosis": {"thresholds": {"vanishing_gain": -1.0}}}, "/diagnosis/thresholds/vanishing_gain"),
    ],
)
def test_a_wrong_beginning_is_refused_at_its_place(embedded: Service, document: Any, pointer: str):
    errors = problem(embedded.client.post("/v1/runs", json=document), 422, "invalid_spec")
    assert [error["pointer"] for error in errors] == [pointer]


def test_a_history_is_kept_and_judged_as_it_would_be_offline(service: Service):
    history = vanishing()
    run_id = begin(service, {"facts": facts_document(history.facts)})
    assert send(service, run_id, 0, history.select(stop=32)).json()["steps_done"] == 32
    assert send(service, run_id, 1, history.select(start=32)).json()["chunks"] == 2
    run = Run.model_validate_json(finish(service, run_id).content)
    assert (run.status, run.health, "finish" in run.links) == ("succeeded", "critical", False)
    found = Diagnosis.model_validate_json(service.client.get(f"/v1/runs/{run_id}/diagnosis").content)
    expected = diagnose(history)
    assert "vanishing_gradient" in [finding.rule for finding in found.findings]
    assert (found.findings, found.health, found.fixes) == (expected.findings, expected.health, [])
    assert found.notes[:-1] == expected.notes
    assert "no spec" in found.notes[-1]
    shown = service.client.get(f"/v1/runs/{run_id}/history?signals=loss").json()
    assert shown["columns"]["loss"] == [2.3] * 60


def test_thresholds_come_with_the_run(embedded: Service):
    history = vanishing()
    run_id = begin(
        embedded,
        {"facts": facts_document(history.facts), "diagnosis": {"thresholds": {"vanishing_gain": 1e-30}}},
    )
    send(embedded, run_id, 0, history)
    finish(embedded, run_id)
    found = embedded.client.get(f"/v1/runs/{run_id}/diagnosis").json()["findings"]
    assert "vanishing_gradient" not in [finding["rule"] for finding in found]


def test_json_says_the_same_as_the_packed_form(service: Service):
    history = small_history()
    packed, plain = begin(service), begin(service)
    send(service, packed, 0, history)
    shown = service.client.get(f"/v1/runs/{packed}/history").json()
    assert "NaN" in shown["columns"]["layers.0.weight/grad_norm"]
    assert None in shown["columns"]["val_loss"]
    answer = send(service, plain, 0, shown)
    assert answer.status_code == 200, answer.text
    again = service.client.get(f"/v1/runs/{plain}/history").json()
    assert again | {"run": ""} == shown | {"run": ""}


def test_chunks_are_told_apart_by_their_numbers(service: Service):
    run_id = begin(service)
    body = {"steps": [0, 1], "columns": {"loss": [1.0, 0.5]}}
    first = send(service, run_id, 0, body)
    assert send(service, run_id, 0, body).json() == first.json()
    other = send(service, run_id, 0, body | {"steps": [0, 2]})
    [error] = problem(other, 409, "chunk_out_of_order")
    assert error["expected"] == "1"
    [error] = problem(send(service, run_id, 5, body | {"steps": [2, 3]}), 409, "chunk_out_of_order")
    assert (error["pointer"], error["expected"]) == ("/query/chunk", "1")
    problem(send(service, run_id, 1, body), 422, "invalid_spec")
    assert service.client.get(f"/v1/runs/{run_id}").json()["chunks"] == 1
    for number in ("", "-1", "x", 2**31):
        problem(send(service, run_id, number, body), 422, "invalid_parameter")


def test_facts_can_come_with_a_chunk_and_with_the_end(embedded: Service):
    run_id = begin(embedded)
    body = {"steps": [0], "columns": {"loss": [1.0]}, "facts": {"loss": "MSELoss"}}
    assert send(embedded, run_id, 0, body).status_code == 200
    [error] = problem(send(embedded, run_id, 1, body | {"facts": {"loss": 5}}), 422, "invalid_spec")
    assert error["pointer"] == "/facts/loss"
    outcome = {"steps": 1, "val_loss": 0.25, "metric": {"name": "r2", "value": 0.5}}
    said = {"facts": {"optimizer": "Adam"}, "outcome": outcome}
    run = finish(embedded, run_id, said).json()
    assert (run["outcome"]["val_loss"], run["outcome"]["metric"]["value"]) == (0.25, 0.5)
    assert finish(embedded, run_id, said).status_code == 200


def test_an_end_can_be_said_again_but_not_otherwise(service: Service):
    run_id = begin(service)
    send(service, run_id, 0, small_history())
    failed = {"status": "failed", "error": {"step": 10, "type": "RuntimeError", "message": "sizes differ"}}
    first = finish(service, run_id, failed)
    assert (first.status_code, first.json()["status"]) == (200, "failed")
    assert finish(service, run_id, failed).json() == first.json()
    problem(finish(service, run_id, {"status": "succeeded"}), 409, "run_ended")
    problem(finish(service, run_id, failed | {"facts": {"loss": "MSELoss"}}), 409, "run_ended")
    problem(send(service, run_id, 1, {"steps": [10], "columns": {"loss": [1.0]}}), 409, "run_ended")
    rules = [found["rule"] for found in service.client.get(f"/v1/runs/{run_id}/diagnosis").json()["findings"]]
    assert "training_error" in rules


def test_a_run_of_which_nothing_was_recorded_ends_without_a_diagnosis(service: Service):
    run_id = begin(service)
    run = finish(service, run_id).json()
    assert (run["status"], run["health"]) == ("succeeded", None)
    problem(service.client.get(f"/v1/runs/{run_id}/diagnosis"), 409, "no_diagnosis")


def test_runs_are_listed_with_filters_and_pages(service: Service):
    job = service.post(SPEC | {"labels": {"list": "yes"}})
    made = [begin(service, {"name": f"run {n}", "labels": {"list": "yes"}}) for n in range(3)]
    first = service.client.get("/v1/runs?label=list:yes&limit=2")
    assert [run["id"] for run in first.json()["items"]] == made[:0:-1]
    assert first.headers["Link"].startswith("</v1/runs?")
    rest = service.client.get(f"/v1/runs?label=list:yes&limit=2&cursor={first.json()['next_cursor']}").json()
    assert [(run["id"] == made[0], run["job_id"]) for run in rest["items"]] == [(True, None), (False, job["id"])]
    named = service.client.get("/v1/runs?kind=external&status=training&name=run%201").json()["items"]
    assert made[1] in [run["id"] for run in named]
    for query in ("kind=own", "label=x", "label=a:b&label=a:c", "cursor=x", "more=1", "name=%00"):
        problem(service.client.get(f"/v1/runs?{query}"), 422, "invalid_parameter")


def test_a_run_is_deleted_alone_only_where_it_is_external(service: Service):
    run_id = begin(service)
    send(service, run_id, 0, small_history())
    assert service.client.delete(f"/v1/runs/{run_id}").status_code == 204
    problem(service.client.get(f"/v1/runs/{run_id}"), 404, "not_found")
    problem(service.client.delete(f"/v1/runs/{run_id}"), 404, "not_found")
    problem(send(service, run_id, 1, small_history()), 404, "not_found")
    problem(finish(service, run_id), 404, "not_found")
    job = service.post()
    run_id = service.client.get(f"/v1/jobs/{job['id']}/runs").json()["items"][0]["id"]
    for answer in (
        service.client.delete(f"/v1/runs/{run_id}"),
        send(service, run_id, 0, small_history()),
        finish(service, run_id),
    ):
        problem(answer, 409, "run_belongs_to_job")
        assert job["id"] in answer.json()["detail"]


def test_a_run_has_a_limit(serve: Callable[..., Service]):
    service = serve(limits=Limits(max_history=1000))
    run_id = begin(service)
    assert send(service, run_id, 0, {"steps": [*range(800)], "columns": {"loss": [1.0] * 800}}).status_code == 200
    more = {"steps": [*range(800, 1100)], "columns": {"loss": [1] * 300}}
    [error] = problem(send(service, run_id, 1, more), 422, "invalid_spec")
    assert "800 numbers" in error["detail"]
    assert "add 300" in error["detail"]
    assert "at most 1,000" in error["expected"]


def test_all_runs_have_limits(serve: Callable[..., Service]):
    service = serve(max_external_runs=2, max_external_numbers=150)
    first, second = begin(service), begin(service, {"name": "kept"}, **{"Idempotency-Key": "again"})
    problem(service.client.post("/v1/runs", json={}), 413, "runs_full")
    assert begin(service, {"name": "kept"}, **{"Idempotency-Key": "again"}) == second
    assert send(service, first, 0, {"steps": [0], "columns": {"loss": [1.0]}}).status_code == 200
    answer = send(service, second, 0, {"steps": [0], "columns": {"loss": [1.0]}})
    problem(answer, 413, "runs_full")
    assert "150 may be held" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"steps": [0]}, "/columns"),
        ({"columns": {}}, "/steps"),
        ({"steps": [0, 0], "columns": {}}, "/steps/1"),
        ({"steps": [1.5], "columns": {}}, "/steps/0"),
        ({"steps": [True], "columns": {}}, "/steps/0"),
        ({"steps": [-1], "columns": {}}, "/steps/0"),
        ({"steps": [2**31], "columns": {}}, "/steps/0"),
        ({"steps": [0], "columns": {"loss": [1, 2]}}, "/columns/loss"),
        ({"steps": [0], "columns": {"loss": 5}}, "/columns/loss"),
        ({"steps": [0], "columns": {"loss": [True]}}, "/columns/loss/0"),
        ({"steps": [0], "columns": {"loss": ["nan"]}}, "/columns/loss/0"),
        ({"steps": [0], "columns": {"loss": [[1]]}}, "/columns/loss/0"),
        ({"steps": [0], "columns": {"loss": [10**400]}}, "/columns/loss/0"),
        ({"steps": [0], "columns": {"a/loss": [1]}}, "/columns/a~1loss"),
        ({"steps": [0], "columns": {"/loss": [1]}}, "/columns/~1loss"),
        ({"steps": [0, 1], "columns": {"a/own": [1, None], "b/own": [1, 2]}}, "/columns/a~1own/1"),
        ({"steps": [0], "columns": {"grad_norm": {"min": [1], "max": [1], "mean": [1]}}}, "/columns/grad_norm"),
        ({"steps": [0], "columns": {}, "pickle": ""}, ""),
        ([], ""),
    ],
)
def test_wrong_json_is_told_at_its_place(embedded: Service, body: Any, pointer: str):
    errors = problem(send(embedded, begin(embedded), 0, body), 422, "invalid_spec")
    assert [error["pointer"] for error in errors] == [pointer]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[" * 100_000, b'{"steps": [1e999], "columns": {}}', b'{"steps": [0], "columns": {"a": [1e999]}}',
             b'{"steps": [0], "columns": {"a": [NaN]}}', b'{"steps": [0], "columns": {"a": [1], "a": [2]}}', b"\xff\xfe"]
)  # fmt: skip
def test_what_is_no_json_is_refused(embedded: Service, text: bytes):
    headers = {"Content-Type": "application/json"}
    run_id = begin(embedded)
    answer = embedded.client.post(f"/v1/runs/{run_id}/history?chunk=0", content=text, headers=headers)
    problem(answer, 422, "invalid_spec")


def test_other_forms_and_sizes_are_refused(embedded: Service):
    path = f"/v1/runs/{begin(embedded)}/history?chunk=0"
    for kind in ("application/vnd.apache.arrow.stream", "application/octet-stream", ""):
        problem(embedded.client.post(path, content=b"x", headers={"Content-Type": kind}), 415, "unsupported_media_type")
    zipped = PACKED | {"Content-Encoding": "gzip"}
    problem(embedded.client.post(path, content=b"x", headers=zipped), 415, "unsupported_media_type")
    large = {"Content-Type": "application/json"}
    problem(embedded.client.post(path, content=b" " * 4_200_000, headers=large), 413, "body_too_large")
    long = PACKED | {"Content-Length": "60000000"}
    problem(embedded.client.post(path, content=b"x", headers=long), 413, "body_too_large")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_packed_body_is_more_than_a_problem(embedded: Service, data: st.DataObject):
    body = bytearray(pack_part(small_history(), {"optimizer": "SGD"}))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=5)):
        body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)) | st.just(len(body)))
    answer = send(embedded, begin(embedded), 0, bytes(body[:cut]) + data.draw(st.just(b"") | st.binary(max_size=9)))
    assert answer.status_code in {200, 422}, answer.text
    if answer.status_code == 422:
        problem(answer, 422, "invalid_spec")


def test_a_body_that_only_begins_right_is_refused(embedded: Service):
    [error] = problem(send(embedded, begin(embedded), 0, MAGIC + b"\xff" * 40), 422, "invalid_spec")
    assert "header" in error["detail"]


NAMES = ["", "layers.0", "layers.0.weight", "x"]
NUMBERS = st.sampled_from([0.0, 1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf, -1.0])


@st.composite
def odd_histories(draw: st.DrawFn) -> dict[str, Any]:
    """Histories that may be sent: any signals of any subjects, few steps, any numbers."""
    signals = ["loss", "val_loss", "lr", "clipped", "accuracy", "grad_norm", "grad_nonfinite", "weight_norm"]
    signals += ["update_ratio", "activation_grad_norm", "activation_mean", "dead_fraction", "own"]
    steps = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=12)))
    columns = {}
    for signal in draw(st.sets(st.sampled_from(signals), min_size=1)):
        whole = signal in {"loss", "val_loss", "lr", "clipped", "accuracy"}
        named = [""] if whole else draw(st.lists(st.sampled_from(NAMES[1:]), min_size=1, unique=True))
        if signal == "grad_norm":
            named = ["", *named]
        for name in named:
            values = draw(st.lists(NUMBERS, min_size=len(steps), max_size=len(steps)))
            words = [
                str(v).replace("nan", "NaN").replace("inf", "Infinity") if not math.isfinite(v) else v for v in values
            ]
            columns[f"{name}/{signal}" if name else signal] = words
    return {"steps": steps, "columns": columns}


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd_histories(), st.data())
def test_whatever_was_sent_can_be_judged(embedded: Service, history: dict[str, Any], data: st.DataObject):
    layers = [
        {"name": name, "type": "Linear", "parameters": data.draw(st.lists(st.sampled_from(NAMES), max_size=2))}
        for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=3))
    ]
    steps = data.draw(st.none() | st.integers(0, 5))
    facts = {"layers": layers, "steps_planned": steps, "steps_per_epoch": data.draw(st.none() | st.integers(0, 5))}
    trivial = data.draw(st.sampled_from([{}, {"train_loss": 0.0, "metric": 1.0}, {"train_loss": -1.0, "metric": 0.1}]))
    outcome = data.draw(st.none() | st.just({"steps": 3, "metric": {"name": "accuracy", "value": None}}))
    run_id = begin(embedded, {"facts": facts | {"trivial": trivial, "outcome": outcome}})
    answer = send(embedded, run_id, 0, history)
    assert answer.status_code == 200, answer.text
    ended = finish(embedded, run_id)
    assert (ended.status_code, ended.json()["status"]) == (200, "succeeded"), json.dumps(history)
