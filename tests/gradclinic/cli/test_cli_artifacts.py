"""`gradclinic artifacts`, against a service on a real loopback socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.export import export_artifact
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service
from tests.gradclinic.client.test_client_artifacts import ARTIFACT, PLACE


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "120")
        yield stub


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments])


def test_upload_prints_the_id_and_how_to_use_it(stub: StubService, tmp_path: Path):
    (tmp_path / "model").write_bytes(b"some bytes")
    stub.on("POST", "/v1/artifacts", Answer(201, ARTIFACT))
    result = call("artifacts", "upload", tmp_path / "model", "--name", "mine")
    assert result.exit_code == 0, result.output
    assert ARTIFACT["id"] in result.stdout
    assert f'"model": {{"type": "graph", "artifact": "{ARTIFACT["id"]}"}}' in " ".join(result.stderr.split())
    assert stub.asked[0].query == "name=mine"
    assert json.loads(call("artifacts", "upload", tmp_path / "model", "--json").stdout)["id"] == ARTIFACT["id"]


def test_list_show_and_delete(stub: StubService):
    stub.on("GET", "/v1/artifacts", Answer(200, {"items": [ARTIFACT], "next_cursor": "more"}))
    stub.on("GET", PLACE, Answer(200, ARTIFACT))
    stub.on("DELETE", PLACE, Answer(204))
    listed = call("artifacts", "list", "--limit", 1)
    assert "4,200,000" in listed.stdout
    assert "more than these 1" in listed.stderr
    assert json.loads(call("artifacts", "list", "--json").stdout)["items"][0]["kind"] == "graph"
    assert "model.safetensors" in call("artifacts", "show", ARTIFACT["id"]).stdout
    assert call("artifacts", "delete", ARTIFACT["id"]).exit_code == 0


def test_what_goes_wrong_ends_with_its_code(stub: StubService, tmp_path: Path):
    stub.on("DELETE", PLACE, problem(409, "artifact_in_use", "Job 1 trains it."))
    used = call("artifacts", "delete", ARTIFACT["id"])
    assert (used.exit_code, "Job 1 trains it" in used.stderr) == (2, True)
    gone = call("artifacts", "upload", tmp_path / "gone")
    assert (gone.exit_code, "cannot be read" in gone.stderr) == (2, True)


def test_a_local_run_takes_the_artifact_from_its_option(tmp_path: Path):
    """Whatever id the spec has: one that was posted to a service is run here as it is."""
    export_artifact(nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4), tmp_path / "model")
    spec = {
        "model": {"type": "graph", "artifact": ARTIFACT["id"]},
        "data": {"type": "iris"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 20},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    refused = call("run", tmp_path / "spec.json")
    assert (refused.exit_code, "--artifact FILE" in refused.stderr) == (2, True)
    result = call("run", tmp_path / "spec.json", "--artifact", tmp_path / "model", "--fail-on", "never", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["diagnosis"]["outcome"]["metric"]["name"] == "accuracy"
    checked = call("validate", tmp_path / "spec.json", "--artifact", tmp_path / "model", "--json")
    assert json.loads(checked.stdout)["output_shape"] == [3]
    assert call("run", tmp_path / "spec.json", "--artifact", tmp_path / "gone").exit_code == 2
