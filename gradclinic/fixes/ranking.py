"""Which kind of fix to try first: what addresses the cause of a finding, then what treats its symptom.

That order is what is expected before anything was tried; what trials showed moves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.contract.catalogue import FixRecord
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


FIRST_CHANCE, NEXT_CHANCE = 0.6, 0.85
"""How often the first fix of a list is expected to help, and each next one relative to the one before; only the order counts."""

PRIOR_TRIES = 5.0
"""Tries that the expectation is worth: as many with another result halve what it says."""


def chance_of_help(place: int, records: Sequence[FixRecord]) -> float:
    """Return how likely the fix at a place of the expected order helps, given what was measured of its kind.

    The mean of a beta distribution: the expectation as its prior, the tries as what was observed since. A fix that did harm
    counts as two that did not help. One trial is recorded under each finding it addresses, so that the longest record stands for all.
    """
    expected = FIRST_CHANCE * NEXT_CHANCE**place
    if not records:
        return expected
    longest = max(records, key=lambda record: record.tries)
    return (PRIOR_TRIES * expected + longest.helped) / (PRIOR_TRIES + longest.tries + longest.harmed)
