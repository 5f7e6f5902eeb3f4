"""The labelled sick cases: what repaired them in the reference runs is proposed, and proposed first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradclinic.contract.diagnosis import Evidence
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.fixes import FIXES, apply_patch, propose_fixes
from gradclinic.model import resolve_spec
from tests.gradclinic.fixes.sick import RULES, diagnosis, finding

CASES = sorted((Path(__file__).parents[3] / "cases").glob("*.json"))

CAUSES = {
    "activation": ("vsig",),
    "weights": ("vdef", "vrelu", "vtanh", "he30", "expl"),
    "learning_rate": ("nan-linreg",),
}
"""What is wrong with the cases, by their construction."""

EVIDENCE = {
    "time_gain": ("rnn-",),
    "backward_gain": ("vsig", "vdef", "vrelu", "vtanh"),
}
"""What the findings of cases rest on whose gradient is lost, through time or over depth."""


def read_sick(path: Path) -> dict[str, Any] | None:
    """Return a case that the contract and the rules of today know."""
    case: dict[str, Any] = json.loads(path.read_text())
    try:
        parse_spec(case["spec"])
    except InvalidSpec:
        return None
    return case if set(case["truth"]["must"]) & set(RULES) else None


SICK = [case for case in map(read_sick, CASES) if case]


def fixes_of(case: dict[str, Any]) -> list[Any]:
    cause = next((what for what, names in CAUSES.items() if case["id"].startswith(names)), None)
    rules = [rule for rule in RULES if rule in case["truth"]["must"]]
    lost = next((signal for signal, names in EVIDENCE.items() if case["id"].startswith(names)), None)
    evidence = [] if lost is None else [Evidence(signal=lost, value=1e-6, threshold=1e-2)]
    return propose_fixes(case["spec"], diagnosis(*(finding(rule, cause, evidence=evidence) for rule in rules)))


def test_there_are_cases():
    assert len(SICK) >= 10


@pytest.mark.parametrize("case", SICK, ids=lambda case: case["id"])
def test_every_fix_gives_a_model_that_can_be_built(case: dict[str, Any]):
    fixes = fixes_of(case)
    assert fixes
    for fix in fixes:
        resolve_spec(parse_spec(apply_patch(case["spec"], fix.patch)))


@pytest.mark.parametrize("case", SICK, ids=lambda case: case["id"])
def test_what_repaired_it_is_proposed_and_what_did_not_is_not_first(case: dict[str, Any]):
    kinds = [fix.kind for fix in fixes_of(case)]
    repairs = set(case["truth"]["repairs"]) & {fix.KIND for fix in FIXES}
    assert repairs <= set(kinds)
    if repairs:
        assert kinds[0] in repairs
