"""The figures about fixes count what they say they count."""

from __future__ import annotations

import json

import pytest

from gradclinic.contract.diagnosis import Fix
from tools.fix_evaluation.labels import Repairs, read_repairs
from tools.fix_evaluation.page import is_mended, worse_ones, write_page
from tools.fix_evaluation.proving import CaseProof, Fresh, VerifiedFix, prove_case

SICK = Repairs(is_sick=True, repairs=frozenset({"optimizer"}), useless=frozenset({"learning_rate"}))
WELL = Repairs(is_sick=False, repairs=frozenset(), useless=frozenset())


def fix(kind: str = "optimizer", **more) -> Fix:
    known = {"id": kind, "kind": kind, "title": kind, "addresses": [], "patch": [], "why": "", "verdict": "verified"}
    return Fix(**(known | more))


def fresh(*healths: str, gain: float = 0.5) -> list[Fresh]:
    return [
        Fresh(seed=seed, health=health, gain=gain, findings=[] if health == "healthy" else ["overfitting"])
        for seed, health in enumerate(healths)
    ]


def proof(case: str, *verified: VerifiedFix, cost: float = 4.0, fixes: list[Fix] | None = None) -> CaseProof:
    return CaseProof(
        case=case,
        health="critical",
        findings=["loss_not_decreasing (critical)"],
        fixes=[one.fix for one in verified] if fixes is None else fixes,
        verified=list(verified),
        trials=5,
        rounds=1,
        cost=cost,
        time=6.0,
        budget=14.0,
        spent_on={"verified": cost},
        recommendation="Take it.",
    )


@pytest.mark.parametrize(
    ("healths", "recommended", "expected"),
    [
        (("healthy", "healthy", "critical"), True, True),
        (("healthy", "critical", "warning"), True, False),
        (("healthy", "healthy", "healthy"), False, False),
    ],
)
def test_mended_is_healthy_on_most_fresh_seeds_by_the_recommended_fix(healths, recommended, expected):
    one = VerifiedFix(fix=fix(recommended=recommended), fresh=fresh(*healths))
    assert is_mended(proof("a", one)) is expected


def test_what_is_worse_on_fresh_seeds_is_named():
    bad = VerifiedFix(fix=fix(), fresh=fresh("healthy", gain=-0.1))
    good = VerifiedFix(fix=fix("activation"), fresh=fresh("healthy", gain=0.1))
    assert [name for _, name, _ in worse_ones([proof("a", good, bad)])] == ["optimizer"]


def test_the_page_says_which_aim_was_missed():
    mended = proof("a", VerifiedFix(fix=fix(recommended=True), fresh=fresh("healthy", "healthy")))
    costly = proof("b", cost=12.0, fixes=[fix("learning_rate", verdict="harmful")])
    told = proof("c", VerifiedFix(fix=fix("learning_rate"), fresh=fresh("healthy", gain=-1.0)))
    page = write_page([mended, costly, told], {"a": SICK, "b": SICK, "c": WELL}, "make evaluate")
    assert "| sick cases mended by a verified fix | 0.500" in page
    assert "(1/2) | MISSED" in page
    assert "| verified fixes that are worse on fresh seeds | 1 of 2 | MISSED" in page
    assert "| healthy cases told to change something | 1 of 1 | MISSED" in page
    assert "| cost of the verification, median | 8.0 | MISSED" in page
    assert "| `learning_rate` | 0 | 0 | 0 | 1 | 0 |" in page


def test_a_verified_fix_that_the_labels_call_useless_is_counted():
    one = VerifiedFix(fix=fix("learning_rate"), fresh=fresh("healthy"))
    assert "| `learning_rate` | 1 | 0 | 0 | 0 | 1 |" in write_page([proof("a", one)], {"a": SICK}, "make evaluate")


def test_labels_are_read_from_the_cases(tmp_path):
    truth = {"health": "critical", "must": [], "may": [], "repairs": ["activation"], "useless": ["l1"]}
    (tmp_path / "a.json").write_text(json.dumps({"id": "a", "truth": truth}))
    assert read_repairs(tmp_path) == {"a": Repairs(True, frozenset({"activation"}), frozenset({"l1"}))}


def test_a_case_is_run_as_a_job_and_its_fixes_on_seeds_of_their_own():
    document = {
        "model": {"layers": [{"type": "Linear", "out_features": 3}]},
        "data": {"type": "iris"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 1e-9},
        "training": {"steps": 80},
    }
    found = prove_case("stuck", document)
    assert found.health == "critical"
    assert found.recommended is not None
    assert [one.seed for one in found.recommended.fresh] == [1000, 1001, 1002]
    assert all(one.gain > 0 for one in found.recommended.fresh)
    assert sum(found.spent_on.values()) == pytest.approx(found.cost, abs=0.01)
