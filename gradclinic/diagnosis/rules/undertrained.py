"""It ended while it was still getting clearly better.

Sees: the mean loss of the last fifth of the steps and of the fifth before; it fires where it fell by more than still_falling of
itself.

Hurts: what the next steps would have brought is missing.

Silent: where the model has learned enough: a loss near zero goes on falling by a share of itself for ever. And where the
validation loss is no longer at its best: more steps would not have helped there. And where a finding ended the training.

Source: the tuning playbook (Godbole et al. 2023): a best checkpoint at the very end says that the training was too short.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule

SAME = 0.02
"""Validation losses that differ by less, relative to them, are the same."""

FEWEST = 20
"""Steps that have to be there for a trend."""


def check(case: Case) -> Finding | None:
    """Fire where the loss was still falling, and there was something left to learn."""
    table = case.history["loss"]
    losses = table.series()
    fifth = len(losses) // 5
    if case.was_ended or len(losses) < FEWEST or case.severity == "info" or not np.isfinite(losses[-2 * fifth :]).all():
        return None
    if _is_past_its_best(case):
        return None
    before, last = losses[-2 * fifth : -fifth], losses[-fifth:]
    if not before.mean() > 0:
        return None
    fallen = 1.0 - float(last.mean()) / float(before.mean())
    # A difference of two means of noisy steps: three standard errors are no chance.
    chance = 3.0 * float(np.hypot(before.std(), last.std())) / np.sqrt(fifth) / float(before.mean())
    threshold = case.thresholds["still_falling"]
    if fallen <= max(threshold, chance):
        return None
    return Finding(
        rule="undertrained",
        severity="warning",
        first_step=int(table.steps[-1]),
        summary=f"The loss fell by {fallen:.0%} in the last fifth of the steps: more of them would have helped.",
        evidence=[Evidence(signal="loss_fall", value=fallen, threshold=threshold, step=int(table.steps[-1]))],
        cause=Cause(
            what="learning_rate",
            detail="Too few steps for their length",
            share=1.0,
            confidence=beyond(fallen, max(threshold, chance)),
        ),
    )


def _is_past_its_best(case: Case) -> bool:
    if "val_loss" not in case.history:
        return False
    values = case.history["val_loss"].series()
    return bool(len(values) and values[-1] > np.nanmin(values) + SAME * abs(np.nanmin(values)))


def _digits(steps: int) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 64}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.003},
        "training": {"steps": steps},
    }


RULE = Rule(
    id="undertrained",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    thresholds=("still_falling", "not_learned_skill", "harmed_skill"),
    caused_by=("learning_rate_too_low", "gradient_clipped_away", "poor_initialization", "saturated_activations"),
    sick=(_digits(25),),
    healthy=(_digits(300),),
)
