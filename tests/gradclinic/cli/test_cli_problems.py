"""With `--json` a failure is a document, too: on standard output for programs, while people read the error stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import JOB_ID, SPEC
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service

JOB = f"/v1/jobs/{JOB_ID}"
MEMBERS = {"type", "title", "status", "detail", "code", "errors"}
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        yield stub


def call(*arguments: str, spec: Any = SPEC) -> Result:
    return CliRunner().invoke(make_app(), list(arguments), input=json.dumps(spec))


def problem_in(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    assert set(document) >= MEMBERS
    assert document["type"] == f"urn:gradclinic:problem:{document['code']}" or document["type"] == "urn:x:not_found"
    assert result.stderr
    return document


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["wait", "--json"], 2, "wrong_call"),
        (["nonsense", "--json"], 2, "wrong_call"),
        (["--nonsense", "--json"], 2, "wrong_call"),
        (["submit", "no-such-file.json", "--json"], 2, "wrong_call"),
        (["show", "x", "--json", "--url", NOWHERE], 3, "service_unreachable"),
        (["run", "-", "--json", "--timeout", "0"], 4, "not_finished"),
    ],
)
def test_each_failure_is_a_problem_with_its_exit_code(arguments: list[str], exit_code: int, code: str):
    result = call(*arguments)
    assert result.exit_code == exit_code
    assert problem_in(result)["code"] == code


@pytest.mark.parametrize("command", [["run", "-"], ["validate", "-", "--local"]])
def test_faults_of_a_spec_stand_at_their_pointers(command: list[str]):
    result = call(*command, "--json", spec=SPEC | {"loss": {"type": "CrossEntropy"}})
    assert result.exit_code == 2
    found = problem_in(result)
    assert (found["code"], found["status"]) == ("invalid_spec", 422)
    assert [fault["pointer"] for fault in found["errors"]] == ["/loss/type"]
    assert set(found["errors"][0]) == {"pointer", "detail", "expected"}


def test_a_problem_of_the_service_stays_as_it_came(stub: StubService):
    stub.on("GET", JOB, problem(404, "not_found", "There is no such job; `GET /v1/jobs` lists what there is."))
    result = call("show", JOB_ID, "--json")
    found = problem_in(result)
    assert (result.exit_code, found["status"], found["request_id"]) == (2, 404, "r-1")
    assert "`gradclinic jobs`" in result.stderr  # for people in their own words


def test_faults_of_the_query_are_no_wrong_spec(stub: StubService):
    errors = [{"pointer": "/query/points", "detail": "points is 0.", "expected": "at least 1"}]
    stub.on("GET", "/v1/runs/r", Answer(200, documents.run()))
    stub.on(
        "GET", f"/v1/runs/{documents.RUN_ID}/history", problem(422, "invalid_parameter", "points is wrong.", errors)
    )
    assert problem_in(call("history", "r", "--json"))["code"] == "invalid_parameter"


def test_a_crash_is_a_problem_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradclinic.cli.jobs.Client", None)
    result = call("show", "x", "--json")
    assert result.exit_code == 3
    assert problem_in(result)["code"] == "internal_error"


def test_a_job_that_failed_is_its_result_and_its_problem(stub: StubService):
    error = {"type": "worker_lost", "title": "The worker was lost", "detail": "Three workers died."}
    stub.on("GET", JOB, Answer(200, documents.job("failed", error=error)))
    stub.on("GET", f"{JOB}/diagnosis", problem(409, "no_diagnosis", "It ended without one."))
    found = problem_in_job(call("wait", JOB_ID, "--json"), 3)
    assert (found["code"], found["detail"], found["job"]["status"]) == ("worker_lost", "Three workers died.", "failed")
    assert "code" not in json.loads(call("show", JOB_ID, "--json").stdout)  # to look at it is no failure


@pytest.mark.parametrize(
    ("status", "exit_code", "code"), [("training", 4, "not_finished"), ("cancelled", 3, "cancelled")]
)
def test_a_job_without_a_diagnosis_says_why(stub: StubService, status: str, exit_code: int, code: str):
    stub.on("GET", JOB, Answer(200, documents.job(status)))
    stub.on("GET", f"{JOB}/diagnosis", problem(409, "no_diagnosis", "None."))
    assert problem_in_job(call("wait", JOB_ID, "--timeout", "0", "--json"), exit_code)["code"] == code


def problem_in_job(result: Result, exit_code: int) -> dict[str, Any]:
    assert result.exit_code == exit_code
    document: dict[str, Any] = json.loads(result.stdout)
    assert set(document) >= MEMBERS | {"job", "diagnosis"}
    return document
