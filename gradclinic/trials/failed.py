"""What is kept of a trial that could not be done."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.trial import Trial, TrialResult


def failed_result(trial: Trial, baseline: TrialResult, reason: str) -> TrialResult:
    """Return the result of a trial whose worker was lost, or ran out of memory or of time: it counts for nothing and nobody.

    Were it taken for an outcome, a control that failed would speak for every fix.
    """
    return TrialResult(
        round=trial.round,
        fix=trial.fix,
        seed=trial.seed,
        loss=baseline.loss,
        steps=0,
        planned=baseline.planned,
        samples=baseline.samples,
        seconds=0.0,
        parameters=baseline.parameters,
        failed=reason,
        diagnosis=Diagnosis(health="critical", outcome=None, findings=[], notes=[reason]),
    )
