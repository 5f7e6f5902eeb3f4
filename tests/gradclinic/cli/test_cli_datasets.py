"""`gradclinic datasets`, and local runs on files: against a service on a real loopback socket, and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service
from tests.gradclinic.client.test_client_datasets import DATASET, PLACE

SPEC = {
    "model": {"layers": [{"type": "Linear", "out_features": 2}]},
    "data": {"type": "table", "path": "t.csv", "target": "y"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 20, "batch_size": 8},
}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "120")
        yield stub


def call(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments], input=input)


def test_upload_prints_the_id_and_how_to_use_it(stub: StubService, tmp_path: Path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    stub.on("POST", "/v1/datasets", Answer(201, DATASET))
    result = call("datasets", "upload", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    assert DATASET["id"] in result.stdout
    assert '"type": "table"' in result.stderr
    assert json.loads(call("datasets", "upload", tmp_path / "t.csv", "--json").stdout)["id"] == DATASET["id"]


def test_list_show_and_delete(stub: StubService):
    stub.on("GET", "/v1/datasets", Answer(200, {"items": [DATASET], "next_cursor": "more"}))
    stub.on("GET", PLACE, Answer(200, DATASET))
    stub.on("DELETE", PLACE, Answer(204))
    listed = call("datasets", "list", "--limit", 1)
    assert "4,200,000" in listed.stdout
    assert "more than these 1" in listed.stderr
    assert json.loads(call("datasets", "list", "--json").stdout)["items"][0]["kind"] == "csv"
    assert "t.csv" in call("datasets", "show", DATASET["id"]).stdout
    assert call("datasets", "delete", DATASET["id"]).exit_code == 0


def test_what_goes_wrong_ends_with_its_code(stub: StubService, tmp_path: Path):
    stub.on("POST", "/v1/datasets", problem(413, "body_too_large", "The body is larger than 10 bytes."))
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    large = call("datasets", "upload", tmp_path / "t.csv")
    assert (large.exit_code, "larger than 10 bytes" in large.stderr) == (2, True)
    gone = call("datasets", "upload", tmp_path / "gone.csv")
    assert (gone.exit_code, "cannot be read" in gone.stderr) == (2, True)


def test_a_local_run_reads_files_under_the_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{row % 2},{'ab'[row % 2]}\n" for row in range(40)))
    text = json.dumps(SPEC)
    refused = call("run", "-", input=text)
    assert (refused.exit_code, "GRADCLINIC_DATA_ROOT" in refused.stderr) == (2, True)
    monkeypatch.setenv("GRADCLINIC_DATA_ROOT", str(tmp_path))
    result = call("run", "-", "--fail-on", "never", "--json", input=text)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["diagnosis"]["outcome"]["metric"]["name"] == "accuracy"
