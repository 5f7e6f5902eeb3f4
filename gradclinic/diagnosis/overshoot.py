"""Whether steps that were too long brought a symptom about, rather than how the network was built and initialized."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Cause
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond


def overshoot(case: Case, step: int) -> Cause | None:
    """Blame the learning rate for what shows first at `step`, if an update before it was out of proportion.

    What shows at the first step is never the learning rate's doing: nothing had been updated.
    """
    if case.preflight is not None:  # each of its steps was taken back
        return None
    update = case.largest_update(step)
    if update is None or update[0] <= case.thresholds["overshooting_update"]:
        return None
    ratio, parameter = update
    sure = beyond(ratio, case.thresholds["overshooting_update"])
    detail = f"Before step {step} one update changed {parameter} by {ratio:.2g} times its own size; 0.001 is usual"
    return Cause(what="learning_rate", detail=detail, share=1.0, confidence=sure)
