"""Which finding is at the root of another: what cures the one is what the other needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradclinic.contract.diagnosis import Finding, RuleId

IMPLIED_BY: Mapping[RuleId, tuple[RuleId, ...]] = {
    "vanishing_gradient": ("over_regularized", "misplaced_activation"),
    "exploding_gradient": ("unnormalized_input", "unnormalized_target"),
    "zero_gradient": ("misplaced_activation", "over_regularized", "dead_units"),
    "learning_rate_too_low": ("unchanged_weights",),
    "undertrained": ("learning_rate_too_high", "over_regularized"),
    "non_finite": ("loss_mismatch", "unnormalized_input", "unnormalized_target", "learning_rate_too_high"),
    "loss_not_decreasing": (
        "training_error", "loss_mismatch", "misplaced_activation", "unnormalized_input", "unnormalized_target",
        "poor_initialization", "vanishing_gradient", "exploding_gradient", "over_regularized", "learning_rate_too_high",
        "dead_units", "gradient_clipped_away", "zero_gradient", "unchanged_weights", "learning_rate_too_low", "class_imbalance",
        "non_finite",
    ),
}  # fmt: skip
"""Findings that follow from others also where the diagnosis does not say so: what cures those is what they need."""


def root_of(finding: Finding, findings: Sequence[Finding]) -> Finding:
    """Return the finding at the start of the chain that leads to this one; itself, where it follows from none."""
    by_rule = {other.rule: other for other in reversed(findings)}
    seen: list[Finding] = []
    while finding not in seen:
        seen.append(finding)
        causes = [finding.caused_by, *IMPLIED_BY.get(finding.rule, ())]
        finding = next((by_rule[rule] for rule in causes if rule in by_rule), finding)
    return finding
