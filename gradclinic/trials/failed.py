"""What counts for a trial that could not be done."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.trial import Trial, TrialResult


def failed_result(trial: Trial, baseline: TrialResult, reason: str) -> TrialResult:
    """Return the result of a trial whose worker was lost, ran out of memory or of time: no better than a trivial predictor."""
    return TrialResult(
        round=trial.round,
        fix=trial.fix,
        seed=trial.seed,
        metric=baseline.metric,
        score=baseline.floor,
        floor=baseline.floor,
        loss=baseline.loss,
        val_skill=None if baseline.val_skill is None else 0.0,
        resolution=baseline.resolution,
        steps=0,
        planned=baseline.planned,
        samples=baseline.samples,
        seconds=0.0,
        parameters=baseline.parameters,
        hopeless=True,
        diagnosis=Diagnosis(health="critical", outcome=None, findings=[], notes=[reason]),
    )
