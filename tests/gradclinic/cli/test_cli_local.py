"""`gradclinic run` and `validate --local`: a whole job in this process, without a service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gradclinic.cli import make_app

SPEC: dict[str, Any] = {
    "name": "small",
    "model": {
        "layers": [{"type": "Linear", "out_features": 16}, {"type": "ReLU"}, {"type": "Linear", "out_features": 3}]
    },
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 200, "batch_size": 32},
}


def call(*arguments: str, spec: Any = SPEC) -> Result:
    return CliRunner().invoke(make_app(), [*arguments], input=json.dumps(spec))


def test_run_trains_and_diagnoses():
    result = call("run", "-")
    assert result.exit_code == 0, result.output
    assert "HEALTHY" in result.stdout
    assert "accuracy" in result.stdout
    assert "layers.2" in result.stdout
    assert "training: 200 of 200" in result.stderr


def test_run_ends_with_1_at_a_finding():
    result = call("run", "-", "--json", spec=SPEC | {"optimizer": {"type": "SGD", "lr": 1e30}})
    assert result.exit_code == 1
    rules = [finding["rule"] for finding in json.loads(result.stdout)["diagnosis"]["findings"]]
    assert "non_finite" in rules


def test_run_without_steps_foresees_and_trains_nothing():
    result = call("run", "-", spec=SPEC | {"training": {"steps": 0}})
    assert result.exit_code == 0, result.output
    assert "Nothing speaks against training this." in result.stdout
    assert "before training  accuracy" in result.stdout
    assert "Not judged, because it takes a training" in result.stdout
    assert "training: 0 of 0" in result.stderr
    result = call("run", "-", "--json", spec=SPEC | {"training": {"steps": 0}, "optimizer": {"type": "SGD", "lr": 0.0}})
    assert result.exit_code == 1
    diagnosis = json.loads(result.stdout)["diagnosis"]
    assert diagnosis["outcome"]["steps"] == 0
    assert diagnosis["preflight"]["seeds"] == [0, 1, 2]
    assert [finding["rule"] for finding in diagnosis["findings"]] == ["unchanged_weights"]
    assert diagnosis["proof"] is None


def test_run_gives_the_same_diagnosis_twice():
    assert call("run", "-", "--json").stdout == call("run", "-", "--json").stdout


def test_run_stops_when_its_time_is_up():
    result = call("run", "-", "--timeout", "0")
    assert result.exit_code == 4
    assert "Not finished within 0 s" in result.stderr


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"loss": {"type": "CrossEntropy"}}, "/loss/type"),
        ({"model": {"layers": [{"type": "Linear", "out_features": 2}]}}, "/model/layers/0"),
        ({"diagnosis": {"thresholds": {"nonsense": 1.0}}}, "/diagnosis/thresholds/nonsense"),
    ],
)
@pytest.mark.parametrize("command", [["run", "-"], ["validate", "-", "--local"]])
def test_a_wrong_spec_ends_with_2_and_its_place(command: list[str], changed: dict[str, Any], pointer: str):
    result = call(*command, spec=SPEC | changed)
    assert result.exit_code == 2
    assert pointer in result.stderr
    assert "^" in result.stderr


def test_validate_shows_every_layer_with_its_shapes():
    result = call("validate", "-", "--local")
    assert result.exit_code == 0
    assert "[4] -> [16]" in result.stdout
    assert json.loads(call("validate", "-", "--local", "--json").stdout)["parameters"] == 4 * 16 + 16 + 16 * 3 + 3


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
sys.modules["sklearn"] = None
from gradclinic.cli import main
sys.argv = ["gradclinic", *sys.argv[1:]]
main()
"""


def test_without_torch_all_but_run_works_and_run_says_what_to_install(tmp_path: Path):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    program = [sys.executable, "-c", WITHOUT_TORCH]
    run = subprocess.run([*program, "run", str(tmp_path / "spec.json")], capture_output=True, text=True, check=False)
    assert run.returncode == 3
    assert "pip install 'gradclinic[torch]'" in " ".join(run.stderr.split())
    helped = subprocess.run([*program, "--help"], capture_output=True, text=True, check=False)
    assert helped.returncode == 0


HOPELESS = {
    "model": {"layers": [{"type": "Linear", "out_features": 1}]},
    "data": {"type": "linear_regression", "noise": 0.1},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 3.0},
    "training": {"steps": 400},
    "verification": {"fixes": 0},
}


def test_what_is_certain_is_told_while_it_trains():
    result = call("run", "-", spec=HOPELESS)
    assert "critical non_finite, certain at step" in " ".join(result.stderr.split())
    assert "ended after 400 steps" in result.stdout


def test_a_hopeless_training_ends_where_the_spec_asks_for_that():
    result = call("run", "-", spec=HOPELESS | {"diagnosis": {"stop_on": "critical"}})
    assert result.exit_code == 1
    outcome = json.loads(call("run", "-", "--json", spec=HOPELESS | {"diagnosis": {"stop_on": "critical"}}).stdout)
    steps, saved = (outcome["diagnosis"]["outcome"][name] for name in ("steps", "steps_saved"))
    assert steps + saved == 400
    assert saved > 300
    assert f"ended after {steps} steps, {saved} saved" in result.stdout
    assert f"ended at step {steps} of 400: {saved} steps saved" in " ".join(result.stdout.split())
