"""The commands that list and delete, and what a call that is a little wrong is told."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.cli.app import COMMANDS, VERSION
from gradclinic.client import Client
from service.app import VERSION as SERVICE_VERSION
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import FINDING, JOB_ID, RUN_ID, SPEC
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service

ROOT = Path(__file__).parents[3]
JOB = f"/v1/jobs/{JOB_ID}"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "100")
        yield stub


def call(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(make_app(), list(arguments), input=input)


def test_jobs_lists_what_the_filters_ask_for(stub: StubService):
    live = documents.job("training", labels={"team": "vision"})
    stub.on("GET", "/v1/jobs", Answer(200, {"items": [live, documents.job()], "next_cursor": "further"}))
    result = call("jobs", "--status", "training", "--label", "team:vision", "--label", "env:ci", "--limit", "2")
    assert result.exit_code == 0, result.output
    asked = parse_qs(stub.asked[0].query)
    assert asked == {"status": ["training"], "label": ["team:vision", "env:ci"], "limit": ["2"]}
    assert "training 30 %" in result.stdout
    assert "team:vision" in result.stdout
    assert result.stdout.count(JOB_ID) == 2
    assert "--cursor further" in result.stderr
    assert json.loads(call("jobs", "--json").stdout)["next_cursor"] == "further"


def test_no_jobs_are_said_to_be_none(stub: StubService):
    stub.on("GET", "/v1/jobs", Answer(200, {"items": [], "next_cursor": None}))
    assert "no such job" in call("jobs").stdout


def test_a_label_needs_a_key():
    result = call("jobs", "--label", "vision")
    assert result.exit_code == 2
    assert "team:vision" in result.stderr


def test_runs_lists_a_jobs_runs(stub: StubService):
    outcome = {"train_loss": 2.3, "val_loss": 2.31, "metric": {"name": "accuracy", "value": 0.1}, "steps": 400}
    run = documents.run() | {"outcome": outcome}
    stub.on("GET", f"{JOB}/runs", Answer(200, {"items": [run], "next_cursor": None}))
    result = call("runs", JOB_ID)
    assert {RUN_ID, "baseline", "accuracy"} <= set(result.stdout.split())
    assert json.loads(call("runs", JOB_ID, "--json").stdout)["items"][0]["id"] == RUN_ID


def test_delete_deletes_and_says_so(stub: StubService):
    stub.on("DELETE", JOB, Answer(204))
    result = call("delete", JOB_ID)
    assert (result.exit_code, stub.asked[0].method) == (0, "DELETE")
    assert "deleted" in result.stderr
    assert json.loads(call("delete", JOB_ID, "--json").stdout) == {"id": JOB_ID, "deleted": True}


def test_a_live_job_cannot_be_deleted(stub: StubService):
    stub.on("DELETE", JOB, problem(409, "job_is_live", "Cancel it first."))
    assert call("delete", JOB_ID).exit_code == 2


def test_a_fix_that_there_is_not_is_answered_with_those_there_are(stub: StubService):
    stub.on("POST", f"{JOB}/fixes/bogus/apply", problem(404, "not_found", "There is no fix 'bogus'."))
    stub.on("GET", f"{JOB}/diagnosis", Answer(200, documents.diagnosis(FINDING)))
    result = call("apply", JOB_ID, "bogus")
    assert result.exit_code == 2
    assert "activation-relu" in result.stderr
    stub.on("GET", f"{JOB}/diagnosis", Answer(200, documents.diagnosis(health="healthy")))
    assert "No fix was proposed" in call("apply", JOB_ID, "bogus").stderr


def test_parts_of_a_history_need_json(stub: StubService):
    stub.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, documents.run()))
    result = call("history", RUN_ID, "--points", "5")
    assert result.exit_code == 2
    assert "add --json, --format or --output" in " ".join(result.stderr.replace("│", " ").split())


def test_a_choice_that_there_is_not_is_named_without_pydantics_words():
    result = call("wait", "x", "--fail-on", "mild")
    assert "'mild' is not one of" in result.stderr
    assert "Value error" not in result.stderr


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_flags_are_shown_as_flags(command: str):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "--help" in result.stdout
    assert "bool" not in result.stdout


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert call("--version").stdout == f"gradclinic {VERSION}\n"
    assert project["version"] == VERSION == SERVICE_VERSION


def test_validate_without_a_service_checks_here_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADCLINIC_URL", raising=False)
    monkeypatch.setattr("gradclinic.cli.specs.Client", lambda _: Client("http://127.0.0.1:1"))
    result = call("validate", "-", input=json.dumps(SPEC))
    assert result.exit_code == 0, result.output
    assert "The spec is right" in result.stdout
    assert "checked in this process" in result.stderr


def test_validate_with_a_service_that_was_named_says_how_to_do_without():
    result = call("validate", "-", "--url", "http://127.0.0.1:1", input=json.dumps(SPEC))
    assert result.exit_code == 3
    assert "add --local" in " ".join(result.stderr.split())
