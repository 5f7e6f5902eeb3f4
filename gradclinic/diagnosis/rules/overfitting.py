"""The model learns its training data by heart.

Sees: the validation loss at the end over the best one that was evaluated, and over the training loss at the end; it
fires where it has risen by overfitting_rise and is overfitting_gap times the training's.

Hurts: what is learned late is true of the training rows alone, and makes the model worse on all others.

Silent: where the metric on the validation part is as good as it was at its best, or nearly: a cross entropy rises with the
model's confidence in its few mistakes, and that does no harm before it is worse than a guess.

Source: Prechelt 1998, "Early stopping, but when?" (the generalisation loss, validation loss over its minimum).
"""

from __future__ import annotations

import math

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding, Outcome, Severity
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where the validation loss turned upwards and left the training loss behind."""
    outcome = case.history.facts.outcome
    values = case.history["val_loss"]
    if outcome is None or len(values.steps) < 2 or outcome.val_loss is None or outcome.train_loss is None:
        return None
    losses = values.series()
    if not np.isfinite(losses).any():
        return None
    row = int(np.nanargmin(losses))
    best = float(losses[row])
    if not (best > 0 and outcome.train_loss > 0):  # of losses that may be below 0 there is no ratio
        return None
    rise, gap = outcome.val_loss / best, outcome.val_loss / outcome.train_loss
    if rise <= case.thresholds["overfitting_rise"] or gap <= case.thresholds["overfitting_gap"]:
        return None
    return Finding(
        rule="overfitting",
        severity=_severity(case, outcome),
        first_step=int(values.steps[row]),
        summary=f"Since step {int(values.steps[row])} the validation loss rose to {rise:.2g} times its best; it is {gap:.2g} times the training loss.",
        evidence=[
            Evidence(signal="val_loss_over_best", value=rise, threshold=case.thresholds["overfitting_rise"]),
            Evidence(signal="val_loss_over_train_loss", value=gap, threshold=case.thresholds["overfitting_gap"]),
        ],
        cause=Cause(
            what="data",
            detail="The model can store what its few training rows do not share",
            share=1.0,
            confidence=min(
                beyond(rise, case.thresholds["overfitting_rise"]), beyond(gap, case.thresholds["overfitting_gap"])
            ),
        ),
    )


def _severity(case: Case, outcome: Outcome) -> Severity:
    """Return `warning` where the metric suffers: it was clearly better before, or is poor. What was learned is there, so never worse."""
    learning, trivial = case.learning, case.history.facts.trivial.metric
    if learning.metric_skill is None:
        return "warning"
    if learning.metric_skill < case.thresholds["harmed_skill"] or _is_worse_than_guessing(case, outcome):
        return "warning"
    best, last = outcome.best_metric, outcome.metric.value if outcome.metric else None
    if best is None or last is None or trivial is None or math.isclose(best, trivial):
        return "info"
    lost = (best - last) / (best - trivial)
    return "warning" if lost > case.thresholds["overfitting_loss"] else "info"


def _is_worse_than_guessing(case: Case, outcome: Outcome) -> bool:
    """Say whether a predictor that ignores its input has a smaller validation loss: what it is sure of is wrong too often."""
    trivial = case.history.facts.trivial.val_loss
    return trivial is not None and outcome.val_loss is not None and outcome.val_loss > trivial


def _moons(limit: int, epochs: int) -> dict[str, object]:
    turn = [{"type": "Linear", "out_features": 128}, {"type": "ReLU"}]
    return {
        "model": {"layers": [{"type": "Repeat", "times": 2, "layers": turn}, {"type": "Linear", "out_features": 2}]},
        "data": {"type": "moons", "samples": limit, "noise": 0.5, "validation_split": 0.5},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "training": {"epochs": epochs, "batch_size": 32},
    }


RULE = Rule(
    id="overfitting",
    documentation=__doc__ or "",
    signals=("loss", "val_loss"),
    check=check,
    thresholds=("overfitting_rise", "overfitting_gap", "overfitting_loss", "harmed_skill"),
    sick=(_moons(64, 300),),
    healthy=(_moons(2000, 5),),
)
