"""The evaluation: what it counts as right, its shares, and that it runs for real on a few cases."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from gradclinic.contract.diagnosis import Diagnosis, Finding, Health, Severity
from tools.evaluation.case import Labelled, read_cases
from tools.evaluation.judging import Judged, Share, precision, recall
from tools.evaluation.page import write_page

ROOT = Path(__file__).resolve().parents[2]


def judged(health: Health, truth: Health, said: dict[str, Severity], must: set[str], may: set[str]) -> Judged:
    findings = [
        Finding(rule=rule, severity=severity, first_step=0, summary=f"{rule}.") for rule, severity in said.items()
    ]
    case = Labelled("case", "family", {}, truth, frozenset(must), frozenset(may))
    return Judged(case, 0, Diagnosis(health=health, outcome=None, findings=findings))


RIGHT = judged("critical", "critical", {"dead_units": "critical", "overfitting": "info"}, {"dead_units"}, set())
BLIND = judged("healthy", "critical", {"dead_units": "info"}, {"dead_units"}, set())
ALARMED = judged("warning", "healthy", {"overfitting": "warning", "dead_units": "warning"}, set(), {"dead_units"})


def test_what_fired_at_info_is_missed_and_what_is_tolerated_is_not_imagined():
    assert (RIGHT.missed, RIGHT.imagined, RIGHT.is_health_right) == ([], [], True)
    assert (BLIND.missed, BLIND.imagined, BLIND.is_health_right) == (["dead_units"], [], False)
    assert (ALARMED.missed, ALARMED.imagined, ALARMED.is_false_alarm) == ([], ["overfitting"], True)


def test_recall_and_precision_count_what_had_to_be_and_what_was_said():
    everything = [RIGHT, BLIND, ALARMED]
    assert (recall(everything).hits, recall(everything).of) == (1, 2)
    assert recall(everything, "overfitting").of == 0
    assert (precision(everything, "overfitting").hits, precision(everything, "overfitting").of) == (0, 1)
    assert (precision(everything, "dead_units").hits, precision(everything, "dead_units").of) == (1, 1)


def test_an_interval_is_wilsons():
    low, high = Share(8, 10).interval
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert Share(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Share(0, 0).value)


def test_the_page_names_each_mistake_and_each_figure_that_was_missed():
    page = write_page([RIGHT, BLIND, ALARMED], [], [], "make evaluate")
    assert "missed dead_units; healthy instead of critical" in page
    assert "imagined overfitting: overfitting." in page
    assert page.count("MISSED") == 3
    assert "MISSED" not in write_page([RIGHT], [], [], "make evaluate")


def test_every_labelled_case_is_read():
    cases = read_cases(ROOT / "cases")
    assert len(cases) == len(list((ROOT / "cases").glob("*.json")))
    assert all(case.must for case in cases if case.health == "critical")


@pytest.mark.slow
def test_it_runs_on_a_folder_of_cases_and_trains_nothing_twice(tmp_path: Path):
    folder = tmp_path / "cases"
    folder.mkdir()
    for name in ("ok-blobs", "zero-dropout1"):
        (folder / f"{name}.json").write_text((ROOT / "cases" / f"{name}.json").read_text())
    command = [
        sys.executable, "-m", "tools.evaluation", "--cases", str(folder), "--seeds", "0", "--processes", "1", "--unperturbed",
        "--cache", str(tmp_path / "kept"), "--page", str(tmp_path / "page.md"),
    ]  # fmt: skip
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0, done.stderr
        kept = sorted(path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir())
    assert "2 labelled cases" in (tmp_path / "page.md").read_text()
    assert len(kept) == 2
    before = kept
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=110, check=True)
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()) == before
