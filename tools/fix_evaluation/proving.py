"""Proving the fixes of one labelled case, and trying what was verified on seeds that no trial used."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel

from gradclinic.contract.diagnosis import Fix, Health
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.trial import TrialResult
from gradclinic.diagnosis import diagnose
from gradclinic.fixes import apply_patch
from gradclinic.model import check_document
from gradclinic.training import train
from gradclinic.training.proving import Proven, prove
from gradclinic.training.trial import result_of
from gradclinic.trials.arm import cost_of
from gradclinic.trials.outcome import gain_of

FRESH_SEEDS = (1000, 1001, 1002)
"""Far from those of any case."""


class Fresh(BaseModel):
    """A verified fix on a seed that no trial used, beside the unchanged spec there."""

    seed: int
    health: Health
    gain: float
    findings: list[str]


class VerifiedFix(BaseModel):
    """A fix that was called verified."""

    fix: Fix
    fresh: list[Fresh]


class CaseProof(BaseModel):
    """What became of one case."""

    case: str
    health: Health
    findings: list[str]
    fixes: list[Fix]
    verified: list[VerifiedFix]
    trials: int
    rounds: int
    cost: float
    time: float
    """Of everything beyond the baseline's training, range tests and diagnoses included, in multiples of that."""
    budget: float
    spent_on: dict[str, float]
    """Cost by what it was spent on: controls, fixes given up, fixes that were not verified, verified ones."""
    recommendation: str

    @property
    def recommended(self) -> VerifiedFix | None:
        """The fix to take."""
        return next((one for one in self.verified if one.fix.recommended), None)


def prove_case(case: str, document: dict[str, Any]) -> CaseProof:
    """Run a case as a job, then try every verified fix and the unchanged spec on fresh seeds."""
    check_document(document)
    started = time.perf_counter()
    proven = prove(document)
    seconds = time.perf_counter() - started - proven.baseline.seconds
    diagnosis, proof = proven.diagnosis, proven.diagnosis.proof
    verified = [fix for fix in diagnosis.fixes if fix.verdict == "verified"]
    unchanged = [_train(document, seed) for seed in FRESH_SEEDS] if verified else []
    return CaseProof(
        case=case,
        health=diagnosis.health,
        findings=[f"{one.rule} ({one.severity})" for one in diagnosis.findings if one.severity != "info"],
        fixes=diagnosis.fixes,
        verified=[VerifiedFix(fix=fix, fresh=_fresh(document, fix, unchanged)) for fix in verified],
        trials=proof.trials if proof else 0,
        rounds=proof.rounds if proof else 0,
        cost=proof.cost if proof else 0.0,
        time=seconds / max(proven.baseline.seconds, 1e-9),
        budget=proof.budget if proof else 0.0,
        spent_on=_spent_on(proven),
        recommendation=proof.recommendation if proof else "Nothing to mend.",
    )


def _fresh(document: dict[str, Any], fix: Fix, unchanged: list[TrialResult]) -> list[Fresh]:
    patched = apply_patch(document, fix.patch)
    found = []
    for base in unchanged:
        tried = _train(patched, base.seed)
        findings = [one.rule for one in tried.diagnosis.findings if one.severity != "info"]
        health = tried.diagnosis.health
        found.append(Fresh(seed=base.seed, health=health, gain=gain_of(base, tried), findings=findings))
    return found


def _train(document: dict[str, Any], seed: int) -> TrialResult:
    spec = parse_spec(document)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"seed": seed})})
    started = time.perf_counter()
    history = train(spec).history
    seconds = time.perf_counter() - started
    return result_of(spec, history, diagnose(history, spec.diagnosis.thresholds), seconds=seconds)


def _spent_on(proven: Proven) -> dict[str, float]:
    verdicts = {fix.id: fix.verdict for fix in proven.diagnosis.fixes}
    spent = {"unchanged spec": 0.0, "given up early": 0.0, "verified": 0.0, "not verified": 0.0}
    for result in proven.results:
        if result.fix is None:
            on = "unchanged spec"
        elif result.hopeless:
            on = "given up early"
        else:
            on = "verified" if verdicts.get(result.fix) == "verified" else "not verified"
        spent[on] += cost_of(result, proven.baseline)
    return spent
