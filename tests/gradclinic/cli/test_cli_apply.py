"""Taking a fix: as a new job, or as a patched spec in a file with a diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.cli.yaml_text import read_yaml
from gradclinic.contract.patch import patch_document
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import FINDING, JOB_ID
from tests.gradclinic.client.stub_service import Answer, StubService, stub_service

JOB = f"/v1/jobs/{JOB_ID}"
FIX: dict[str, Any] = {
    "id": "rate-low",
    "kind": "learning_rate",
    "title": "Lower the learning rate",
    "addresses": ["learning_rate_too_high"],
    "patch": [
        {"op": "replace", "path": "/optimizer/lr", "value": 1e-05},
        {"op": "add", "path": "/labels", "value": {"on": "no", "ß": "1e-3"}},
    ],
    "why": "It bears no more.",
}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "40")
        stub.on("GET", JOB, Answer(200, documents.job()))
        stub.on("POST", f"{JOB}/fixes/rate-low/apply", Answer(202, documents.job("queued")))
        propose(stub, FIX)
        yield stub


def propose(stub: StubService, *fixes: dict[str, Any]) -> None:
    stub.on("GET", f"{JOB}/diagnosis", Answer(200, documents.diagnosis(FINDING) | {"fixes": list(fixes)}))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(make_app(), ["apply", JOB_ID, *arguments])


def calls(stub: StubService) -> list[str]:
    return [asked.method for asked in stub.asked]


def test_the_patched_spec_is_written_with_a_diff_and_nothing_is_submitted(stub: StubService, tmp_path: Path):
    target = tmp_path / "patched.json"
    result = call("rate-low", "-o", str(target))
    assert result.exit_code == 0, result.output
    assert json.loads(target.read_text()) == patch_document(documents.job()["spec"], FIX["patch"])
    assert '+    "lr": 1e-05' in result.stderr
    assert "+++ rate-low" in result.stderr
    assert "POST" not in calls(stub)
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["patched.yaml", "PATCHED.YML"])
def test_a_yaml_file_says_the_same(stub: StubService, tmp_path: Path, name: str):
    assert call("rate-low", "--output", str(tmp_path / name)).exit_code == 0
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert not text.startswith("{")
    assert read_yaml(text).value == patch_document(documents.job()["spec"], FIX["patch"])
    assert "GET" in calls(stub)


def test_a_dash_prints_the_spec_alone(stub: StubService):
    result = call("rate-low", "-o", "-", "--json")
    assert json.loads(result.stdout)["optimizer"]["lr"] == 1e-05
    assert "@@" in result.stderr
    assert stub.asked


def test_with_submit_it_is_posted_as_well(stub: StubService, tmp_path: Path):
    result = call("rate-low", "-o", str(tmp_path / "spec.json"), "--submit", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == JOB_ID
    assert calls(stub)[-1] == "POST"
    assert (tmp_path / "spec.json").exists()


def test_without_an_id_the_recommended_fix_is_taken(stub: StubService):
    propose(stub, FIX | {"id": "other"}, FIX | {"recommended": True})
    assert call("--json").exit_code == 0
    assert stub.asked[-1].path == f"{JOB}/fixes/rate-low/apply"


def test_where_none_is_recommended_it_says_which_there_are(stub: StubService):
    result = call()
    assert result.exit_code == 2
    assert "no fix is recommended" in " ".join(result.stderr.split())
    assert "rate-low" in result.stderr
    assert "POST" not in calls(stub)


def test_a_fix_that_there_is_not_writes_nothing(stub: StubService, tmp_path: Path):
    result = call("bogus", "-o", str(tmp_path / "spec.json"))
    assert result.exit_code == 2
    assert "rate-low" in result.stderr
    assert "POST" not in calls(stub)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named(stub: StubService, tmp_path: Path):
    result = call("rate-low", "-o", str(tmp_path / "nowhere" / "spec.json"), "--submit")
    assert result.exit_code == 2
    assert "POST" not in calls(stub)
    # In a box, whose lines break where the path happens to end.
    assert "cannot be written" in " ".join(result.stderr.replace("│", " ").split())
