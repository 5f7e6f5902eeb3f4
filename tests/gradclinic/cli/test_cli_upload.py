"""`gradclinic upload` and `gradclinic runs`: against a service on a real loopback socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.client import Client
from tests.gradclinic.client import documents
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service
from tests.gradclinic.client.test_streaming import RUN, RUN_ID, part_of, run_document


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "160")
        stub.on("POST", "/v1/runs", Answer(201, run_document()))
        stub.on("POST", f"{RUN}/history", Answer(200, run_document()))
        stub.on("POST", f"{RUN}/finish", Answer(200, run_document("succeeded")))
        stub.on("GET", f"{RUN}/diagnosis", Answer(200, documents.diagnosis(documents.FINDING)))
        stub.on("GET", f"{RUN}/history", Answer(200, documents.HISTORY))
        yield stub


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments])


def test_upload_prints_the_diagnosis_and_ends_with_its_code(stub: StubService, tmp_path: Path):
    part_of(0, 300).save(tmp_path / "history.arrow")
    result = call("upload", tmp_path / "history.arrow", "--name", "nightly", "--label", "team:vision")
    assert result.exit_code == 1, result.output
    assert "CRITICAL" in result.stdout
    assert RUN_ID in result.stdout
    assert (stub.asked[0].body["name"], stub.asked[0].body["labels"]) == ("nightly", {"team": "vision"})
    assert call("upload", tmp_path / "history.arrow", "--fail-on", "never").exit_code == 0
    told = json.loads(call("upload", tmp_path / "history.arrow", "--json").stdout)
    assert (told["run"]["id"], told["diagnosis"]["health"]) == (RUN_ID, "critical")


def test_upload_takes_what_a_stream_left(stub: StubService, tmp_path: Path):
    stub.on("POST", f"{RUN}/history", problem(401, "unauthorized", "This service wants an API key."))
    with Client(stub.url) as client, client.stream(folder=tmp_path) as stream:
        stream(part_of(0, 128))
    [kept] = tmp_path.iterdir()
    stub.on("POST", f"{RUN}/history", Answer(200, run_document()))
    refused = call("upload", kept, "--name", "other")
    assert (refused.exit_code, "already" in refused.stderr) == (2, True)
    assert call("upload", kept).exit_code == 1


def test_what_goes_wrong_ends_with_its_code(stub: StubService, tmp_path: Path):
    gone = call("upload", tmp_path / "gone.arrow")
    assert (gone.exit_code, "cannot be read" in gone.stderr) == (2, True)
    (tmp_path / "table.csv").write_text("step,loss\n0,1\n")
    assert call("upload", tmp_path / "table.csv").exit_code == 2
    stub.on("GET", f"{RUN}/diagnosis", problem(409, "no_diagnosis", "Nothing was recorded."))
    part_of(0, 1).save(tmp_path / "history.arrow")
    empty = call("upload", tmp_path / "history.arrow")
    assert (empty.exit_code, "Nothing was recorded" in empty.stderr) == (3, True)


def test_runs_lists_those_of_a_service_or_of_a_job(stub: StubService):
    named = run_document() | {"name": "nightly", "labels": {"team": "vision"}}
    stub.on("GET", "/v1/runs", Answer(200, {"items": [named], "next_cursor": "more"}))
    listed = call("runs", "--kind", "external", "--label", "team:vision", "--limit", 1)
    assert listed.exit_code == 0, listed.output
    assert (RUN_ID in listed.stdout, "nightly" in listed.stdout, "--cursor more" in listed.stderr) == (True,) * 3
    assert "kind=external" in stub.asked[-1].query
    stub.on("GET", f"/v1/jobs/{documents.JOB_ID}/runs", Answer(200, {"items": [documents.run()], "next_cursor": None}))
    assert "baseline" in call("runs", documents.JOB_ID).stdout
    both = call("runs", documents.JOB_ID, "--kind", "trial")
    assert (both.exit_code, "--kind" in both.stderr) == (2, True)
