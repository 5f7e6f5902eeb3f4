"""`gradclinic sweep` and `gradclinic schema`: what they post, print and end with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app
from gradclinic.contract.schema import spec_schema
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import SPEC, SWEEP_ID
from tests.gradclinic.client.stub_service import Answer, StubService, problem, stub_service

SWEEP = f"/v1/sweeps/{SWEEP_ID}"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    with stub_service() as stub:
        monkeypatch.setenv("GRADCLINIC_URL", stub.url)
        monkeypatch.setenv("COLUMNS", "120")
        stub.on("POST", "/v1/sweeps", Answer(202, documents.sweep("live")))
        yield stub


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC, indent=2))
    return path


def call(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(make_app(), [str(argument) for argument in arguments], input=input)


def posted(stub: StubService) -> dict[str, object]:
    (asked,) = (asked for asked in stub.asked if asked.method == "POST")
    return dict(asked.body)


def test_values_come_from_the_command_line(stub: StubService, spec: Path):
    settings = (
        "/optimizer/lr=0.01,1e-3",
        '/model/layers/1={"type":"ReLU"}, {type: Tanh}',
        "/data/type=digits,'iris'",
        "/scheduler=null",
        "/data/normalize=true,minmax",
    )
    result = call("sweep", spec, *(part for setting in settings for part in ("--set", setting)))
    assert result.exit_code == 0, result.output
    assert posted(stub) == SPEC | {
        "sweep": {
            "/optimizer/lr": [0.01, 0.001],
            "/model/layers/1": [{"type": "ReLU"}, {"type": "Tanh"}],
            "/data/type": ["digits", "iris"],
            "/scheduler": [None],
            "/data/normalize": [True, "minmax"],
        }
    }
    assert f"gradclinic sweep {SWEEP_ID} --wait" in result.stderr


def test_values_come_from_the_file_and_the_command_line_adds_to_them(stub: StubService, tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC | {"sweep": {"/optimizer/lr": [0.1], "/training/seed": [0, 1]}}))
    assert call("sweep", path, "--set", "/optimizer/lr=0.5").exit_code == 0
    assert posted(stub)["sweep"] == {"/optimizer/lr": [0.5], "/training/seed": [0, 1]}


@pytest.mark.parametrize(
    "setting", ["lr=0.1", "/optimizer/lr", "/optimizer/lr=[", "/optimizer/lr=.nan", "/a=1,,2", ("/a=1", "/a=2")]
)
def test_values_that_cannot_be_read_are_a_wrong_call(stub: StubService, spec: Path, setting: str | tuple[str, ...]):
    settings = (setting,) if isinstance(setting, str) else setting
    result = call("sweep", spec, *(part for one in settings for part in ("--set", one)))
    assert result.exit_code == 2
    assert stub.asked == []


def test_a_sweep_that_is_waited_for_is_compared(stub: StubService, spec: Path):
    stub.on("GET", SWEEP, Answer(200, documents.sweep("live")), Answer(200, documents.sweep()))
    result = call("sweep", spec, "--set", "/optimizer/lr=0.1,0.01", "--wait")
    assert result.exit_code == 0, result.output
    assert "jobs ended: 2 of 2" in result.stderr
    lines = result.stdout.splitlines()
    header = next(line for line in lines if "accuracy" in line)
    assert header.split()[0] == "lr"
    rows = [line.split() for line in lines[lines.index(header) + 1 :]][:2]
    assert rows == [
        ["0", "0.1", "succeeded", "healthy", "0.5", "not", "finite", "0.5"],
        ["1", "0.01", "succeeded", "healthy", "0.5", "not", "finite", "0.9"],
    ]
    assert "best by accuracy: 1, /optimizer/lr = 0.01" in result.stdout
    assert "\x1b" not in result.stdout


def test_rows_can_be_had_best_first(stub: StubService):
    stub.on("GET", SWEEP, Answer(200, documents.sweep()))
    result = call("sweep", SWEEP_ID, "--sort", "best")
    assert result.stdout.index("0.9") < result.stdout.index("0.1 ")
    assert [
        row["number"] for row in json.loads(call("sweep", SWEEP_ID, "--sort", "best", "--json").stdout)["rows"]
    ] == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("health", "fail_on", "code"),
    [
        ("critical", "critical", 1),
        ("warning", "critical", 0),
        ("warning", "warning", 1),
        ("warning", "info", 1),
        ("healthy", "info", 0),
        ("critical", "never", 0),
    ],
)
def test_the_worst_job_decides_what_it_ends_with(stub: StubService, health: str, fail_on: str, code: int):
    stub.on("GET", SWEEP, Answer(200, documents.sweep(health=health)))
    assert call("sweep", SWEEP_ID, "--wait", "--fail-on", fail_on).exit_code == code


def test_a_job_that_failed_ends_with_3(stub: StubService):
    rows = [documents.row(0, 0.1, 0.5, "ended", "healthy") | {"status": "failed", "outcome": None, "health": None}]
    stub.on("GET", SWEEP, Answer(200, documents.sweep(rows=rows, jobs={"failed": 1}, best=None, compared_by=None)))
    result = call("sweep", SWEEP_ID, "--wait")
    assert result.exit_code == 3
    assert "None is best" in result.stdout


def test_not_finished_in_time_ends_with_4(stub: StubService):
    stub.on("GET", SWEEP, Answer(200, documents.sweep("live")))
    result = call("sweep", SWEEP_ID, "--wait", "--timeout", "0.2")
    assert result.exit_code == 4
    assert f"gradclinic sweep {SWEEP_ID} --wait" in result.stderr


def test_a_sweep_can_be_cancelled(stub: StubService, spec: Path):
    stub.on("POST", f"{SWEEP}/cancel", Answer(202, documents.sweep()))
    assert call("sweep", SWEEP_ID, "--cancel").exit_code == 0
    assert call("sweep", spec, "--cancel").exit_code == 2
    assert call("sweep", SWEEP_ID, "--set", "/optimizer/lr=1").exit_code == 2


def test_interrupted_waiting_says_that_the_sweep_goes_on(stub: StubService, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradclinic.cli.sweeps.Client.wait_sweep", interrupt)
    stub.on("GET", SWEEP, Answer(200, documents.sweep("live")))
    result = call("sweep", SWEEP_ID, "--wait")
    assert result.exit_code == 130
    assert f"gradclinic sweep {SWEEP_ID} --cancel" in result.stderr


def test_a_wrong_value_is_shown_where_it_stands_in_the_file(stub: StubService, tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC) + "sweep:\n  /optimizer/lr: [0.1, -1]\n")
    errors = [{"pointer": "/sweep/~1optimizer~1lr/1", "detail": "lr is -1. Combination 1.", "expected": "0 or more"}]
    stub.on("POST", "/v1/sweeps", problem(422, "invalid_spec", "wrong", errors))
    result = call("sweep", path)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    marked = next(number for number, line in enumerate(lines) if "/optimizer/lr: [0.1, -1]" in line)
    assert lines[marked + 1].index("^") == lines[marked].index("-1]")


def test_the_schema_is_printed_or_written(tmp_path: Path):
    assert json.loads(call("schema").stdout) == spec_schema()
    assert json.loads(call("schema", "--sweep").stdout) == spec_schema(sweep=True)
    path = tmp_path / "schema.json"
    result = call("schema", "--output", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(path.read_text()) == spec_schema()
    assert "yaml-language-server" in result.stderr
    assert call("schema", "--output", tmp_path / "no" / "such" / "folder.json").exit_code == 2
