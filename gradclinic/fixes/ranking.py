"""Which kind of fix to try first: what addresses the cause of a finding, then what treats its symptom."""

from __future__ import annotations

from gradclinic.contract.diagnosis import CauseKind, Finding, FixKind, RuleId

CURES: dict[CauseKind, tuple[FixKind, ...]] = {
    "activation": ("activation", "normalization", "residual", "optimizer"),
    "weights": ("initialization", "normalization"),
    "depth": ("residual", "normalization"),
    "learning_rate": ("learning_rate",),
}
"""The kinds that address a cause, best first."""

TREATMENTS: dict[RuleId, tuple[FixKind, ...]] = {
    "vanishing_gradient": (
        "normalization",
        "residual",
        "activation",
        "initialization",
        "optimizer",
        "learning_rate",
    ),
    "exploding_gradient": ("initialization", "normalization", "optimizer", "gradient_clipping", "learning_rate"),
    "non_finite": ("learning_rate", "initialization", "gradient_clipping", "normalization", "optimizer"),
    "loss_not_decreasing": ("initialization", "learning_rate", "activation", "optimizer", "normalization"),
}
"""The kinds that treat a finding whose cause is not known, or not theirs, best first."""


def rank(kind: FixKind, finding: Finding) -> tuple[int, int]:
    """Return the place of a kind of fix for a finding; smaller is better. The first number is 0 for a cure."""
    cures = CURES.get(finding.cause.what, ()) if finding.cause else ()
    if kind in cures:
        return 0, cures.index(kind)
    treatments = TREATMENTS.get(finding.rule, ())
    return 1, treatments.index(kind) if kind in treatments else len(treatments)
