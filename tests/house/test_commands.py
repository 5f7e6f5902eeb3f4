"""The commands that people are told to use are there, and the arrows between the packages hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")
COMMANDS = re.compile(r"```(?:sh|bash|console|shell)\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))


def commands_in(page: Path) -> str:
    """Everything on a page that is written as code."""
    return "\n".join(block or inline for block, inline in COMMANDS.findall(page.read_text()))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_only_make_targets_that_exist(page: Path) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", commands_in(page)))
    assert named <= targets()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_link_only_to_files_that_exist(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_only_modules_that_run(page: Path) -> None:
    ours = re.findall(
        r"python -m ((?:gradclinic|store|service|worker|migrations|benchmarks|tools)[\w.]*)", commands_in(page)
    )
    places = [ROOT.joinpath(*module.split(".")) for module in ours]
    missing = [
        place for place in places if not (place / "__main__.py").exists() and not place.with_suffix(".py").exists()
    ]
    assert missing == []


def test_make_alone_prints_what_there_is() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - make is what is tested
    assert {"install", "demo", "test", "check"} <= set(
        re.findall(r"^  make ([a-z-]+)", done.stdout, flags=re.MULTILINE)
    )


def test_every_make_target_is_phony() -> None:
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", MAKEFILE, flags=re.MULTILINE))
    assert phony == targets()


def test_make_runs_only_modules_and_programs_that_exist() -> None:
    modules = set(re.findall(r"python -m (\w+(?:\.\w+)*)", MAKEFILE)) - {"venv", "pip", "pytest"}
    places = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert [
        place for place in places if not (place / "__main__.py").exists() and not place.with_suffix(".py").exists()
    ] == []
    programs = set(re.findall(r"\$\(BIN\)/([\w-]+)", MAKEFILE))
    assert [program for program in programs if not Path(sys.executable).with_name(program).exists()] == []


def test_ci_runs_what_make_check_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    assert script.splitlines()[-1] == "make check"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, "it has to be executable"


def test_pre_commit_downloads_nothing() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repo in repos for hook in repo["hooks"]]
    assert {repo["repo"] for repo in repos} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].split()[0] for hook in hooks} == {
        f".venv/bin/{tool}" for tool in ("ruff", "mypy", "lint-imports")
    }


def test_the_arrows_hold() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
