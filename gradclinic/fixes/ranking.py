"""Which kind of fix to try first: what addresses the cause of a finding, then what treats its symptom.

That order is what is expected before anything was tried; what trials showed moves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.contract.catalogue import FixRecord
from gradclinic.contract.diagnosis import CauseKind, Finding, FixKind, RuleId
from gradclinic.fixes.evidence import is_through_time

CURES: dict[CauseKind, tuple[FixKind, ...]] = {
    "activation": ("activation", "normalization", "residual", "gating", "optimizer"),
    "weights": ("initialization", "normalization"),
    "depth": ("residual", "normalization", "dense_connections", "gating", "depth"),
    "learning_rate": ("learning_rate", "warmup"),
}
"""The kinds that address a cause, best first."""

THROUGH_TIME: dict[RuleId, tuple[FixKind, ...]] = {
    "vanishing_gradient": ("gating", "activation", "initialization"),
    "exploding_gradient": ("initialization", "gating", "gradient_clipping"),
}
"""The kinds that address a gradient lost, or grown, inside a recurrent layer, whatever its cause is called."""

REMEDIES: dict[RuleId, tuple[FixKind, ...]] = {
    "loss_mismatch": ("loss",),
    "misplaced_activation": ("activation", "loss"),
    "unnormalized_input": ("input_scaling",),
    "unnormalized_target": ("target_scaling",),
    "over_regularized": ("weight_decay", "l1", "dropout"),
    "gradient_clipped_away": ("gradient_clipping",),
    "oscillating_loss": ("learning_rate", "lr_schedule"),
    "noisy_gradient": ("batch_size", "learning_rate", "lr_schedule"),
    "class_imbalance": ("loss",),
    "overfitting": ("early_stopping", "weight_decay", "dropout"),
    "undertrained": ("learning_rate", "lr_schedule", "training_length"),
}
"""Of findings that are a cause themselves, the kinds that take it away, best first and the cheaper before the costlier."""

STAND_BY_THEMSELVES: dict[RuleId, tuple[FixKind, ...]] = {
    rule: REMEDIES[rule]
    for rule in (
        "loss_mismatch", "misplaced_activation", "unnormalized_input", "unnormalized_target", "over_regularized", "noisy_gradient",
        "class_imbalance", "overfitting",
    )
} | {"loss_not_decreasing": ("weight_decay", "l1")}  # fmt: skip
"""Of findings that follow from another, the kinds that are asked all the same: they mend what stands in the spec or in the data, and goes
on although something else that harms as well is taken away."""

TREATMENTS: dict[RuleId, tuple[FixKind, ...]] = {
    "training_error": ("loss",),
    "unnormalized_input": ("normalization", "optimizer"),
    "unnormalized_target": ("optimizer",),
    "poor_initialization": ("initialization", "normalization", "activation", "input_scaling", "optimizer"),
    "vanishing_gradient": (
        "normalization", "residual", "activation", "gating", "initialization", "optimizer", "dense_connections", "depth",
        "learning_rate", "loss",
    ),
    "exploding_gradient": (
        "initialization", "normalization", "optimizer", "gradient_clipping", "warmup", "learning_rate", "gating", "depth",
    ),
    "non_finite": (
        "learning_rate", "initialization", "loss", "gradient_clipping", "warmup", "normalization", "optimizer", "gating",
    ),
    "learning_rate_too_high": ("learning_rate", "warmup", "lr_schedule", "gradient_clipping", "optimizer"),
    "learning_rate_too_low": ("learning_rate", "lr_schedule", "optimizer", "training_length"),
    "dead_units": ("activation", "initialization", "learning_rate", "normalization", "input_scaling", "warmup"),
    "saturated_activations": ("initialization", "normalization", "activation", "input_scaling", "loss"),
    "zero_gradient": ("initialization", "loss", "dropout"),
    "unchanged_weights": ("learning_rate", "optimizer", "initialization", "dropout"),
    "oscillating_loss": ("optimizer",),
    "overfitting": ("l1",),
    "undertrained": ("optimizer",),
    # What is posted and can hold learning back is taken away before anything is added.
    "loss_not_decreasing": (
        "weight_decay", "l1", "lr_schedule", "initialization", "learning_rate", "activation", "optimizer", "normalization", "loss",
        "warmup", "gating", "dropout", "training_length", "width",
    ),
}  # fmt: skip
"""The kinds that treat a finding whose cause is not known, or not theirs, best first."""


def rank(kind: FixKind, finding: Finding) -> tuple[int, int]:
    """Return the place of a kind of fix for a finding; smaller is better. The first number is 0 for a cure."""
    through_time = THROUGH_TIME.get(finding.rule, ()) if is_through_time(finding) else ()
    cures = through_time or REMEDIES.get(finding.rule) or (CURES.get(finding.cause.what, ()) if finding.cause else ())
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
