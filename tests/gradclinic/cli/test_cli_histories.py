"""Histories in files: written by `history --output`, judged by `diagnose`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import JOB_ID, RUN_ID
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service

TABLE = "step,loss\r\n0,2.5\r\n1,NaN\r\n"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "100")
        stub.on("GET", f"/v1/runs/{RUN_ID}", Answer(200, documents.run()))
        stub.on("GET", f"/v1/runs/{RUN_ID}/history", Answer(200, TABLE, content_type="text/csv"))
        yield stub


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments])


def asked_format(stub: StubService) -> str:
    return parse_qs(stub.asked[-1].query)["format"][0]


def vanishing(steps: int = 200, layers: int = 6) -> History:
    """A training that stands still while its gradients shrink from layer to layer."""
    at = np.arange(steps)
    names = tuple(f"layers.{place}" for place in range(layers))
    shrinking = np.tile(10.0 ** np.arange(-3 * (layers - 1), 1, 3), (steps, 1))
    facts = RunFacts(
        layers=[LayerFacts(name=name, type="Linear", parameters=[f"{name}.weight"]) for name in names],
        steps_planned=steps,
    )
    weights = tuple(f"{name}.weight" for name in names)
    return History(
        {
            "loss": SignalTable(at, (WHOLE_STEP,), np.full((steps, 1), 2.3)),
            "grad_norm": SignalTable(at, (WHOLE_STEP, *weights), np.column_stack([shrinking[:, -1], shrinking])),
            "grad_nonfinite": SignalTable(at, weights, np.zeros_like(shrinking)),
            "activation_grad_norm": SignalTable(at, names, shrinking),
        },
        facts,
    )


class TestWriting:
    @pytest.mark.parametrize(("name", "form"), [("h.csv", "csv"), ("h.JSON", "json"), ("h.arrow", "arrow")])
    def test_the_name_of_the_file_says_the_form(self, stub: StubService, tmp_path: Path, name: str, form: str):
        result = call("history", RUN_ID, "--output", tmp_path / name, "--signals", "loss", "--points", 2)
        assert result.exit_code == 0, result.output
        assert asked_format(stub) == form
        assert parse_qs(stub.asked[-1].query)["points"] == ["2"]
        assert (tmp_path / name).read_bytes() == TABLE.encode()
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_a_format_alone_is_printed(self, stub: StubService):
        result = call("history", RUN_ID, "--format", "csv")
        assert (result.exit_code, result.stdout_bytes) == (0, TABLE.encode())
        assert asked_format(stub) == "csv"

    def test_a_job_means_its_baseline(self, stub: StubService, tmp_path: Path):
        stub.on("GET", f"/v1/jobs/{JOB_ID}/runs", Answer(200, {"items": [documents.run()], "next_cursor": None}))
        assert call("history", JOB_ID, "-o", tmp_path / "h.csv").exit_code == 0
        assert (tmp_path / "h.csv").exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--output", "history.txt"], "add --format"),
            (["--json", "--format", "csv"], "two forms"),
            (["--format", "xlsx"], "'xlsx' is not one of"),
            (["--output", "nowhere/h.csv"], "cannot be written"),
        ],
    )
    @pytest.mark.usefixtures("stub")
    def test_what_cannot_be_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
    ):
        monkeypatch.chdir(tmp_path)
        result = call("history", RUN_ID, *options)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.replace("│", " ").split())

    def test_what_the_service_refuses_leaves_no_file(self, stub: StubService, tmp_path: Path):
        errors = [{"pointer": "/query/signals", "detail": "There is no signal 'los'.", "expected": None}]
        stub.on("GET", f"/v1/runs/{RUN_ID}/history", problem(422, "invalid_parameter", "It is wrong.", errors))
        result = call("history", RUN_ID, "-o", tmp_path / "h.csv", "--signals", "los")
        assert result.exit_code == 2
        assert "no signal 'los'" in result.stderr
        assert list(tmp_path.iterdir()) == []


class TestDiagnosing:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        vanishing().save(tmp_path / "history.arrow")
        return tmp_path / "history.arrow"

    def test_the_findings_are_told_and_give_the_exit_code(self, saved: Path):
        result = call("diagnose", saved, "--fail-on", "info")
        assert result.exit_code == 1, result.output
        assert "vanishing_gradient" in result.stdout
        assert "history.arrow" in result.stdout
        assert call("diagnose", saved, "--fail-on", "never").exit_code == 0

    def test_json_is_the_diagnosis(self, saved: Path):
        result = call("diagnose", saved, "--json", "--fail-on", "info")
        rules = [finding["rule"] for finding in json.loads(result.stdout)["diagnosis"]["findings"]]
        assert (result.exit_code, "vanishing_gradient" in rules) == (1, True)

    def test_a_rule_whose_signals_are_missing_says_so(self, tmp_path: Path):
        path = tmp_path / "foreign.arrows"
        table = pa.table({"step": list(range(200)), "loss": [0.97**step for step in range(200)]})
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
        result = call("diagnose", path)
        assert result.exit_code == 0, result.output
        assert "vanishing_gradient was not judged" in " ".join(result.stdout.split())

    @pytest.mark.parametrize("content", [b"step,loss\n0,1\n", None])
    def test_what_is_no_history_ends_with_2(self, tmp_path: Path, content: bytes | None):
        path = tmp_path / "history.arrow"
        if content is not None:
            path.write_bytes(content)
        result = call("diagnose", path, "--json")
        assert result.exit_code == 2
        assert "history.arrow" in json.loads(result.stdout)["detail"]

    def test_a_part_that_was_cut_is_no_history(self, saved: Path):
        saved.write_bytes(saved.read_bytes()[:-100])
        assert call("diagnose", saved).exit_code == 2

    def test_a_threshold_can_be_another(self, saved: Path):
        result = call("diagnose", saved, "--threshold", "vanishing_gain=1e-30", "--json", "--fail-on", "never")
        rules = [finding["rule"] for finding in json.loads(result.stdout)["diagnosis"]["findings"]]
        assert "vanishing_gradient" not in rules
        assert call("diagnose", saved, "--threshold", "vanishing=1").exit_code == 2
        for wrong in ("vanishing_gain", "vanishing_gain=small", "vanishing_gain=nan"):
            assert call("diagnose", saved, "--threshold", wrong).exit_code == 2

    def test_a_stored_run_is_judged_by_the_service(self, stub: StubService):
        path = f"/v1/runs/{RUN_ID}/diagnosis"
        stub.on("POST", path, Answer(200, documents.diagnosis(documents.FINDING)))
        result = call("diagnose", "--run", RUN_ID, "--threshold", "vanishing_gain=0.001", "--json")
        assert result.exit_code == 1, result.output
        assert json.loads(result.stdout)["diagnosis"]["findings"][0]["rule"] == "vanishing_gradient"
        (asked,) = [one for one in stub.asked if one.path == path]
        assert asked.body == {"thresholds": {"vanishing_gain": 0.001}}

    def test_a_file_or_a_run_and_not_both(self, saved: Path):
        assert call("diagnose").exit_code == 2
        assert call("diagnose", saved, "--run", RUN_ID).exit_code == 2
