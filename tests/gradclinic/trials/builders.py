"""Trainings as they might have come out, without training any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradclinic.contract.diagnosis import Diagnosis, Finding, Fix
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.trials import Advance, advance

SPEC: dict[str, Any] = {
    "model": {
        "layers": [{"type": "Linear", "out_features": 8}, {"type": "ReLU"}, {"type": "Linear", "out_features": 3}]
    },
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 100, "batch_size": 10, "seed": 5},
}


def spec_with(**verification: Any) -> dict[str, Any]:
    return SPEC | {"verification": verification}


def fix(slug: str, lr: float = 0.01, kind: str = "optimizer") -> Fix:
    patch = [{"op": "replace", "path": "/optimizer/lr", "value": lr}]
    return Fix(id=slug, kind=kind, title=slug.title(), addresses=["loss_not_decreasing"], patch=patch, why="Because.")


SICK = Finding(rule="loss_not_decreasing", severity="critical", first_step=0, summary="It does not fall.")
STILL_SICK = SICK.model_copy(update={"severity": "warning"})
OTHER = Finding(rule="overfitting", severity="warning", first_step=9, summary="It overfits.")


def diagnosis(*findings: Finding, fixes: tuple[Fix, ...] = ()) -> Diagnosis:
    worst = {finding.severity for finding in findings}
    health = "critical" if "critical" in worst else "warning" if "warning" in worst else "healthy"
    return Diagnosis(health=health, outcome=None, findings=list(findings), fixes=list(fixes))


def result(score: float | None, *findings: Finding, fixes: tuple[Fix, ...] = (), **more: Any) -> TrialResult:
    known: dict[str, Any] = {
        "seed": 5, "metric": "accuracy", "score": score, "floor": 0.1, "loss": "CE", "val_skill": None, "steps": 100,
        "planned": 100, "samples": 10, "seconds": 1.0, "parameters": 50, "diagnosis": diagnosis(*findings, fixes=fixes),
    }  # fmt: skip
    return TrialResult(**(known | more))


Outcomes = Mapping[str | None, Callable[[int], TrialResult]]
"""How each fix (None for the unchanged spec) comes out on a seed."""


def run(
    document: Mapping[str, Any], baseline: TrialResult, outcomes: Outcomes
) -> tuple[Advance, list[Trial], list[TrialResult]]:
    """Do what a worker does until the proof is over; return its end, every trial asked for and every result."""
    asked: list[Trial] = []
    results: list[TrialResult] = []
    for _ in range(20):
        ahead = advance(document, baseline, results)
        if not ahead.trials:
            return ahead, asked, results
        asked += ahead.trials
        for trial in ahead.trials:
            came_out = outcomes[trial.fix](trial.seed)
            results.append(came_out.model_copy(update={"fix": trial.fix, "seed": trial.seed, "round": trial.round}))
    raise AssertionError("The proof does not end.")
