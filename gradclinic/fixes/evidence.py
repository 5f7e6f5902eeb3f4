"""What several fixes read from a finding's evidence."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding

BEFORE_ANY_UPDATE = frozenset({"loss", "grad_norm", "grad_max", "grad_nonfinite", "activation_grad_norm"})
"""What is measured in a step before its update: at step 0, it tells of the initialization alone."""

TINY_UPDATE_RATIO = 1e-4
"""Update-to-weight ratio below which learning is slow: TheDeepChecker's lower end, a tenth of the usual 1e-3 (cs231n)."""


def is_broken_from_the_start(finding: Finding) -> bool:
    """Whether values were not finite before the first update, which no learning rate or clipping can then help."""
    return finding.rule == "non_finite" and any(
        evidence.step == 0 and evidence.signal in BEFORE_ANY_UPDATE for evidence in finding.evidence
    )


def tiny_update_ratio(finding: Finding) -> float | None:
    """Return the update-to-weight ratio that the finding rests on, if it is one that hardly learns."""
    ratios = [e.value for e in finding.evidence if "update_ratio" in e.signal and e.value is not None]
    return min((ratio for ratio in ratios if ratio < TINY_UPDATE_RATIO), default=None)


FALLING = 0.99
"""Loss at the end over that at the start, below which it fell."""

SMALL_UPDATE_RATIO = 1e-2
"""Update-to-weight ratio up to which a larger step is not yet out of proportion."""


def fell_by_short_steps(finding: Finding) -> bool:
    """Whether the loss fell, if not far, by steps that leave room for longer ones."""
    found = {evidence.signal: evidence.value for evidence in finding.evidence if evidence.value is not None}
    return found.get("loss_end_over_start", 1.0) < FALLING and found.get("update_ratio", 1.0) < SMALL_UPDATE_RATIO


def is_through_time(finding: Finding) -> bool:
    """Whether the gradient is lost, or grows, inside a recurrent layer from step to step of its sequence, not over depth."""
    return any(evidence.signal == "time_gain" for evidence in finding.evidence)


def evidence_of(finding: Finding, signal: str) -> float | None:
    """Return the value of a piece of evidence; None where it is not there or not finite."""
    return next((evidence.value for evidence in finding.evidence if evidence.signal == signal), None)
