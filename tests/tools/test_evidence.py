"""What articles claim, put to the test: every remedy is a valid change, words follow from outcomes, wrong claims are marked."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gradclinic.contract.diagnosis import Diagnosis, Finding
from gradclinic.contract.trial import TrialResult
from gradclinic.model import check_document
from tools.evidence.claims import CLAIMS, judge
from tools.evidence.faults import FAULTS, RULES, Fault
from tools.evidence.measuring import Measured, measure
from tools.evidence.page import write_page
from tools.evidence.picture import draw
from tools.evidence.remedies import REMEDIES
from tools.evidence.running import Tried, _train, arms_of

ROOT = Path(__file__).resolve().parents[2]
SICK = next(fault for fault in FAULTS if fault.kind == "vanishing")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_remedy_gives_a_valid_spec_and_leaves_the_given_one_alone(fault: Fault):
    before = copy.deepcopy(fault.document)
    arms = arms_of([fault], REMEDIES)
    for arm in arms:
        check_document(arm.document)
    assert fault.document == before
    assert all(arm.document != before for arm in arms if arm.remedy)


def test_every_remedy_applies_to_a_vanishing_gradient_and_every_kind_of_fault_has_two_trainings():
    assert all(any(remedy.apply(f.document) for f in FAULTS if f.kind == "vanishing") for remedy in REMEDIES)
    assert all(sum(fault.kind == kind for fault in FAULTS) >= 2 for kind in RULES)


def test_what_is_there_already_is_no_remedy():
    given = {remedy.id: remedy.apply(SICK.document) for remedy in REMEDIES}
    assert set(given["initialization"]) == {"He", "orthogonal"}  # it is Xavier's already
    recurrent = next(fault for fault in FAULTS if fault.id == "RNN on rows")
    not_applicable = {remedy.id for remedy in REMEDIES if not remedy.apply(recurrent.document)}
    assert not_applicable == {"ReLU", "batch normalisation", "residual", "dense", "fewer layers"}


def test_a_residual_with_the_activation_first_keeps_as_many_activations():
    residual = next(remedy for remedy in REMEDIES if remedy.id == "residual")
    changed = residual.apply(SICK.document)["activation first"]["model"]["layers"]
    assert [layer["type"] for layer in changed] == ["Linear", "Repeat", "Sigmoid", "Linear"]
    assert [layer["type"] for layer in changed[1]["layers"][0]["layers"]] == ["Sigmoid", "Linear"]


def outcome(score: float, seed: int, *, sick: bool) -> TrialResult:
    finding = Finding(rule="vanishing_gradient", severity="critical", first_step=0, summary="Vanishing.")
    diagnosis = Diagnosis(health="critical" if sick else "healthy", outcome=None, findings=[finding] * sick)
    return TrialResult(
        seed=seed, metric="accuracy", score=score, floor=0.1, loss="", steps=1, planned=1, samples=1, seconds=1.0,
        parameters=1, diagnosis=diagnosis,
    )  # fmt: skip


def measured(**scores: tuple[Sequence[float], bool]) -> Measured:
    """Measure made up outcomes on three seeds: by remedy (and `__` and a setting) the scores, and whether it stays sick."""
    outcomes = [(Tried(SICK, None, None, SICK.document), outcome(0.4, seed, sick=True)) for seed in range(3)]
    for name, (values, sick) in scores.items():
        remedy, _, setting = name.replace("_of_", " ").partition("__")
        arm = Tried(SICK, remedy, setting or "only", {})
        outcomes += [(arm, outcome(value, seed, sick=sick)) for seed, value in enumerate(values)]
    return measure(outcomes)


CURE = ([0.9, 0.92, 0.91], False)
NOTHING = ([0.4, 0.405, 0.4], True)
HARM = ([0.2, 0.21, 0.2], True)


def word(found: Measured, remedy: str) -> str:
    cell = found.cell(remedy, SICK.id)
    assert cell is not None
    return cell.word


def test_words_follow_from_outcome_test_and_finding():
    scores = {"Adam": CURE, "ReLU": (CURE[0], True), "L1": NOTHING, "L2": HARM}
    found = measured(**scores, tanh=([0.55, 0.6, 0.58], True), dropout=([0.4, 0.9, 0.41], True))
    words = {remedy: word(found, remedy) for remedy in ("Adam", "ReLU", "tanh", "dropout", "L1", "L2")}
    assert words == {
        "Adam": "cured", "ReLU": "helps", "tanh": "helps", "dropout": "unclear", "L1": "nothing", "L2": "harms",
    }  # fmt: skip
    ground = found.grounds[0]
    assert (ground.found, ground.seeds, ground.best) == (3, 3, pytest.approx(0.91))
    adam = found.cell("Adam", SICK.id)
    assert adam is not None
    assert adam.share == pytest.approx(1.0)
    assert adam.interval[0] < adam.share < adam.interval[1]


def test_the_best_setting_counts():
    cell = measured(Adam__slow=NOTHING, Adam__fast=CURE).cell("Adam", SICK.id)
    assert cell is not None
    assert (cell.setting, cell.settings, cell.word) == ("fast", 2, "cured")


def test_a_wrong_claim_is_marked_and_a_right_one_is_not():
    found = measured(**{"Adam": CURE, "gradient clipping": NOTHING})
    page = write_page(found, "evidence.svg")
    rows = {line.split(" | ")[0]: line for line in page.splitlines() if " cures vanishing gradients | " in line}
    assert "WRONG as measured" in rows["| gradient clipping cures vanishing gradients"]
    assert "holds as measured" in rows["| Adam cures vanishing gradients"]
    assert "not tried" in rows["| residual cures vanishing gradients"]
    assert "- **WRONG as measured**: 1 (gradient clipping)" in page
    stands = {one.claim.remedy: one.standing for one in (judge(claim, found) for claim in CLAIMS[: len(REMEDIES)])}
    assert (stands["Adam"], stands["gradient clipping"], stands["L1"]) == ("holds", "WRONG", "not tried")


def test_the_picture_shows_every_cell():
    found = measured(**{"Adam": CURE, "gradient clipping": NOTHING, "L2": HARM})
    texts = [node.text for node in ET.fromstring(draw(found)).iter() if node.tag.endswith("text")]  # noqa: S314  # ours
    assert {"100 %", "0 %", "-39 %"} <= set(texts)
    assert texts.count("\N{MIDDLE DOT}") == len(REMEDIES) - 3


def test_nothing_is_trained_twice(tmp_path: Path):
    document = copy.deepcopy(FAULTS[-1].document)
    document["training"]["steps"] = 2
    first = _train((document, 0, tmp_path, "code"))
    kept = [(path, path.stat().st_mtime_ns) for path in tmp_path.iterdir()]
    assert _train((document, 0, tmp_path, "code")) == first
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.iterdir()] == kept
    _train((document, 1, tmp_path, "code"))
    _train((document, 0, tmp_path, "other code"))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_runs_on_one_fault(tmp_path: Path):
    command = [
        sys.executable, "-m", "tools.evidence", "--faults", "SGD at 2e-5", "--remedies", "Adam", "gradient clipping",
        "--processes", "1", "--cache", str(tmp_path / "kept"), "--page", str(tmp_path / "page.md"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "SGD at 2e-5: gradient clipping" in done.stdout
    page = (tmp_path / "page.md").read_text()
    assert "was found in the unchanged spec on 3 of 3 seeds" in page
    assert "| Adam cures a learning rate that is too low |" in page
    ET.parse(tmp_path / "page.svg")  # noqa: S314  # ours
