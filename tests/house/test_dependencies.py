"""requirements.lock and pyproject.toml belong together, and the wheel holds the library alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def locked() -> dict[str, str]:
    return {canonicalize_name(name): pinned for name, _, pinned in (line.partition("==") for line in LOCK_LINES)}


def wanted() -> list[str]:
    groups = PROJECT["dependency-groups"].values()
    extras = PROJECT["project"]["optional-dependencies"].values()
    lists = [PROJECT["project"]["dependencies"], PROJECT["build-system"]["requires"], *extras, *groups]
    return [requirement for requirements in lists for requirement in requirements]


@pytest.mark.parametrize("requirement", wanted())
def test_every_requirement_is_pinned_to_a_version_it_allows(requirement: str) -> None:
    parsed = Requirement(requirement)
    pinned = locked().get(canonicalize_name(parsed.name))
    assert pinned is not None, f"{parsed.name} is not in requirements.lock: run `make lock`"
    assert parsed.specifier.contains(pinned)


def test_the_lock_holds_exact_versions_alone() -> None:
    odd = [line for line in LOCK_LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert odd == []


@pytest.mark.parametrize("package", ["torch", "celery", "sqlalchemy", "pydantic", "fastapi", "jsonpatch", "numpy"])
def test_what_is_installed_is_what_is_locked(package: str) -> None:
    assert version(package).partition("+")[0] == locked()[package]


@pytest.mark.slow
def test_the_wheel_holds_the_library_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        licences = [name for name in names if "/licenses/" in name]
    assert {name.split("/")[0] for name in names} == {"gradclinic", wheel.name.split("-py3")[0] + ".dist-info"}
    assert "gradclinic/py.typed" in names
    assert {name.rsplit("/", 1)[1] for name in licences} == {"LICENSE", "NOTICE"}
