"""Every exit code of the contract, and what is said with it, against a service on a real loopback socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import FINDING, HISTORY, JOB_ID, RUN_ID, SPEC
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service

JOB = f"/v1/jobs/{JOB_ID}"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "100")
        yield stub


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC, indent=2))
    return path


def call(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments], input=input)


def ended(stub: StubService, *findings: dict[str, object], health: str = "healthy") -> None:
    stub.on("POST", "/v1/jobs", Answer(202, documents.job("queued")))
    stub.on("GET", JOB, Answer(200, documents.job("training")), Answer(200, documents.job()))
    stub.on("GET", f"{JOB}/diagnosis", Answer(200, documents.diagnosis(*findings, health=health)))
    stub.on("GET", f"{JOB}/runs", Answer(200, {"items": [documents.run()], "next_cursor": None}))
    stub.on("GET", f"/v1/runs/{RUN_ID}/history", Answer(200, HISTORY))
    stub.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, documents.run()))


def test_a_healthy_job_ends_with_0_and_a_report(stub: StubService, spec: Path):
    ended(stub)
    result = call("submit", spec, "--wait")
    assert result.exit_code == 0, result.output
    assert "HEALTHY" in result.stdout
    assert "training: 120 of 400" in result.stderr


def test_a_critical_finding_ends_with_1(stub: StubService, spec: Path):
    ended(stub, FINDING, health="critical")
    result = call("submit", spec, "--wait")
    assert result.exit_code == 1
    assert "vanishing_gradient" in result.stdout


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("warning", "critical", 0),
        ("warning", "warning", 1),
        ("info", "warning", 0),
        ("info", "info", 1),
        ("critical", "never", 0),
    ],
)
def test_fail_on_sets_the_severity_that_fails(stub: StubService, severity: str, fail_on: str, code: int):
    ended(stub, FINDING | {"severity": severity}, health="warning")
    assert call("wait", JOB_ID, "--fail-on", fail_on).exit_code == code


def test_a_failed_job_ends_with_3_and_its_error(stub: StubService):
    error = {"type": "worker_lost", "title": "The worker was lost", "detail": "Three workers died. Use less memory."}
    stub.on("GET", JOB, Answer(200, documents.job("failed", error=error)))
    stub.on("GET", f"{JOB}/diagnosis", problem(409, "no_diagnosis", "It ended without one."))
    result = call("wait", JOB_ID)
    assert result.exit_code == 3
    assert "Three workers died" in result.stdout


def test_no_service_ends_with_3_and_says_how_to_start_one(spec: Path):
    with socket.socket() as taken:  # bound but not listening
        taken.bind(("127.0.0.1", 0))
        result = call("submit", spec, "--url", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 3
    assert "python -m service" in result.stderr.replace("\n", " ")


def test_a_service_in_trouble_ends_with_3(stub: StubService):
    stub.on("GET", JOB, problem(500, "internal_error", "The service failed."))
    result = call("show", JOB_ID)
    assert result.exit_code == 3
    assert "r-1" in result.stderr


def test_not_finished_in_time_ends_with_4_and_the_job_goes_on(stub: StubService):
    stub.on("GET", JOB, Answer(200, documents.job("training")))
    stub.on("GET", f"{JOB}/diagnosis", problem(409, "diagnosis_not_ready", "It trains."))
    result = call("wait", JOB_ID, "--timeout", "0.2")
    assert result.exit_code == 4
    assert f"gradclinic wait {JOB_ID}" in result.stderr


def test_an_unknown_job_ends_with_2(stub: StubService):
    stub.on("GET", JOB, problem(404, "not_found", "There is no such job."))
    assert call("show", JOB_ID).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["wait"],
        ["nonsense"],
        ["wait", "x", "--fail-on", "mild"],
        ["submit", "no-such-file.json"],
        ["wait", "x", "--timeout", "-1"],
    ],
)
def test_a_wrong_call_ends_with_2(arguments: list[str]):
    assert call(*arguments).exit_code == 2


def test_faults_of_the_service_are_shown_at_their_place_and_end_with_2(stub: StubService, spec: Path):
    errors = [
        {"pointer": "/model/layers/0/out_features", "detail": "It does not fit.", "expected": "63"},
        {"pointer": "/scheduler", "detail": "It is missing.", "expected": "a value"},
    ]
    stub.on("POST", "/v1/jobs", problem(422, "invalid_spec", "wrong", errors))
    result = call("submit", spec)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    marked = next(number for number, line in enumerate(lines) if '"out_features": 64' in line)
    assert lines[marked + 1].index("^") == lines[marked].index('"out_features"')
    assert lines[marked + 1].count("^") == len('"out_features": 64')
    assert "/scheduler" in result.stderr
    assert "expected: 63" in result.stderr


def test_text_that_is_not_json_is_shown_where_reading_ended(stub: StubService):
    result = call("submit", "-", input='{\n  "model": {,}\n}')
    assert result.exit_code == 2
    assert "line 2, column 13" in result.stderr
    assert stub.asked == []


def test_a_crash_is_not_taken_for_a_finding(spec: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradclinic.cli.jobs.Client", None)
    result = call("submit", spec)
    assert result.exit_code == 3
    assert "should not have happened" in result.stderr


def test_interrupted_waiting_says_that_the_job_goes_on(stub: StubService, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradclinic.cli.jobs.show_job", interrupt)
    stub.on("GET", JOB, Answer(200, documents.job("training")))
    result = call("wait", JOB_ID)
    assert result.exit_code == 130
    assert f"gradclinic cancel {JOB_ID}" in result.stderr


def test_json_is_all_that_standard_output_holds(stub: StubService, spec: Path):
    ended(stub, FINDING, health="critical")
    document = json.loads(call("submit", spec, "--wait", "--json").stdout)
    assert document["job"]["id"] == JOB_ID
    assert document["diagnosis"]["findings"][0]["rule"] == "vanishing_gradient"
    stub.on("POST", f"{JOB}/cancel", Answer(202, documents.job("training")))
    stub.on("POST", f"{JOB}/fixes/activation-relu/apply", Answer(202, documents.job("queued")))
    assert json.loads(call("cancel", JOB_ID, "--json").stdout)["id"] == JOB_ID
    assert json.loads(call("apply", JOB_ID, "activation-relu", "--json").stdout)["status"] == "queued"
    history = json.loads(call("history", RUN_ID, "--json", "--signals", "loss, grad_norm", "--points", 2).stdout)
    assert history["columns"]["layers.3.weight/grad_norm"]["mean"] == [0.5, "NaN"]
    assert "signals=loss%2Cgrad_norm" in stub.asked[-1].query


def test_without_wait_it_says_how_to(stub: StubService, spec: Path):
    ended(stub)
    result = call("submit", spec)
    assert result.exit_code == 0
    assert f"gradclinic wait {JOB_ID}" in result.stderr
    assert JOB_ID in result.stdout


def test_history_takes_a_run_or_a_job_and_draws_it(stub: StubService):
    ended(stub)
    for known in (RUN_ID, JOB_ID):
        result = call("history", known)
        assert result.exit_code == 0, result.output
        assert "layers.3" in result.stdout
        assert "5e-17" in result.stdout
    assert call("history", RUN_ID, "--points", 3).exit_code == 2


def test_show_of_a_live_job_needs_no_diagnosis(stub: StubService):
    stub.on("GET", JOB, Answer(200, documents.job("training")))
    stub.on("GET", f"{JOB}/diagnosis", problem(409, "diagnosis_not_ready", "It trains."))
    result = call("show", JOB_ID)
    assert result.exit_code == 0
    assert "step 120 of 400" in result.stdout


def test_the_help_names_every_command_and_code():
    result = call("--help")
    assert result.exit_code == 0
    for command in ("run", "submit", "wait", "show", "apply", "cancel", "sweep", "history", "validate", "schema"):
        assert command in result.stdout
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize(("workers", "said"), [(0, True), (1, False)])
def test_who_waits_hears_that_no_worker_is_running(stub: StubService, spec: Path, workers: int, said: bool):
    ended(stub)
    stub.on("GET", "/readyz", Answer(200, {"status": "ready", "workers": workers, "checks": {}}))
    result = call("submit", spec, "--wait")
    assert result.exit_code == 0
    assert ("No worker is running" in result.stderr) == said
