"""What the README tells people to type works as it stands there, and what it lists is what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gradclinic.contract.spec import JobSpec
from tools.embedded import embedded_system

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
HERE = "http://127.0.0.1:8000"

BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
SESSIONS = [
    [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    for block in BLOCKS
    if re.search(r"^\$ (\.venv/bin/gradclinic|curl) ", block, re.MULTILINE) and "model.safetensors" not in block
]
"""The commands for a started system, block by block."""

SCRIPTS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SETTING_UP = "import torch\n\nmodel = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
"""What the script that exports a model takes as given."""

SPEC, PROBLEM = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_system(tmp_path_factory.mktemp("readme")) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("commands", SESSIONS, ids=["command-line", "curl"])
def test_its_commands_work_one_after_the_other(commands: list[str], url: str):
    known = {".venv/bin/gradclinic": f"{sys.executable} -m gradclinic.cli", HERE: url}
    # An answer that is an error is a failure of curl, too; the last word of each command's output is its exit code.
    script = 'curl() { command curl --fail-with-body --max-time 60 "$@"; }\n'
    for command in commands:
        for written, meant in known.items():
            command = command.replace(written, meant)  # noqa: PLW2901 - the same command, here
        script += f"{command}\ncode=$?; echo; echo exit code $code\n"
    environment = {**os.environ, "GRADCLINIC_URL": url}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],  # noqa: S607 - whichever shell people have
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    codes = [int(code) for code in re.findall(r"^exit code (\d+)$", done.stdout, re.MULTILINE)]
    expected = [int(found[1]) if (found := re.search(r"#.*exit code (\d)", line)) else 0 for line in commands]
    assert codes == expected, done.stdout + done.stderr


def _run(arguments: list[str], folder: Path, url: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, "GRADCLINIC_URL": url}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_script_records_a_loop_and_gets_its_diagnosis_from_the_service(tmp_path: Path, url: str):
    script = next(script for script in SCRIPTS if "client.stream" in script)
    offline = next(script for script in SCRIPTS if "history.save" in script)
    assert len([line for line in script.splitlines() if line.strip()]) < 20
    assert re.search(r"^critical vanishing_gradient ", _run(["-c", script], tmp_path, url), re.MULTILINE)
    alone = script.replace('client.stream(name="nightly") as stream, ', "").replace(", sink=stream", "")
    loop, _, _ = alone.partition("for finding")
    assert '"rule": "vanishing_gradient"' in _run(["-c", loop + offline], tmp_path, url)
    assert "vanishing_gradient" in _run(
        ["-m", "gradclinic.cli", "diagnose", "history.arrow", "--fail-on", "never"], tmp_path, url
    )


@pytest.mark.slow
def test_its_model_is_exported_uploaded_and_trained(tmp_path: Path, url: str):
    exporting = next(script for script in SCRIPTS if "export_artifact" in script)
    _run(["-c", SETTING_UP + exporting], tmp_path, url)
    uploaded = json.loads(
        _run(["-m", "gradclinic.cli", "artifacts", "upload", "model.safetensors", "--json"], tmp_path, url)
    )
    spec = {
        "model": {"type": "graph", "artifact": uploaded["id"]},
        "data": {"type": "digits", "flatten": False},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 100},
    }
    job = httpx2.post(f"{url}/v1/jobs", json=spec, headers={"Prefer": "wait=60"}, timeout=70, trust_env=False).json()
    assert (job["status"], job["health"]) == ("succeeded", "healthy")


@pytest.mark.slow
def test_its_spec_is_right_and_its_problem_is_what_the_service_answers(url: str):
    def post(document: object) -> httpx2.Response:
        return httpx2.post(f"{url}/v1/specs/validate", json=document, trust_env=False)

    assert post(SPEC).status_code == 200
    *inner, last = SPEC["model"]["layers"]
    wrong = SPEC | {"model": SPEC["model"] | {"layers": [*inner, last | {"in_features": 32}]}}
    assert post(wrong).json() | {"request_id": ""} == PROBLEM | {"request_id": ""}


@pytest.mark.parametrize("part", ["data", "loss", "optimizer"])
def test_it_lists_every_type(part: str):
    types = set(JobSpec.model_json_schema()["properties"][part]["discriminator"]["mapping"])
    row = re.search(rf"^\| `{part}` \|(.*)\|$", README, re.MULTILINE)
    assert row is not None
    assert types == set(re.findall(r"`(\w+)`", row[1])), f"README.md: the row `{part}` of the table of types"
