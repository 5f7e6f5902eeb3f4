"""A step follows its few samples more than the task.

Sees: the gradient noise scale at the end of the training, the batch at which noise and gradient are equally large, over the
batch size; it fires above noise_over_batch where the loss moves more from step to step than over the last half of the training.

Hurts: the training wanders around at a distance from the minimum that grows with the learning rate and the noise.

Silent: where training goes well. The noise scale rises as the loss falls, and small batches train.

Source: McCandlish et al. 2018, arXiv 1812.06162.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond
from gradclinic.diagnosis.rule import Rule

STEP_CHANGE = 0.5
"""Deviation of the loss from step to step relative to its level, below which its noise is not what keeps it up."""


def check(case: Case) -> Finding | None:
    """Fire where steps are mostly noise, the loss shows it, and the training suffered."""
    facts = case.history.facts
    if facts.noise_scale is None or facts.batch_size is None or case.severity == "info":
        return None
    threshold = case.thresholds["noise_over_batch"]
    over = facts.noise_scale / facts.batch_size
    losses = case.history["loss"].series()
    late = losses[len(losses) // 2 :]
    if over <= threshold or not len(late) or not np.isfinite(late).all():
        return None
    level = abs(float(late.mean()))
    change = float(np.diff(late).std()) / (np.sqrt(2) * level) if level > 0 and len(late) > 1 else 0.0
    if change <= STEP_CHANGE:
        return None
    return Finding(
        rule="noisy_gradient",
        severity=case.severity,
        first_step=int(case.history["loss"].steps[len(losses) // 2]),
        summary=f"A batch of {facts.batch_size} gives a gradient that is mostly noise: {facts.noise_scale:.2g} samples would be half signal.",
        evidence=[
            Evidence(signal="noise_over_batch", value=over, threshold=threshold),
            Evidence(signal="loss_change", value=change, threshold=STEP_CHANGE),
        ],
        cause=Cause(
            what="data",
            detail="Too few samples a step for the rate that it trains with",
            share=1.0,
            confidence=beyond(over, threshold),
        ),
    )


def _regression(batch: int, lr: float) -> dict[str, Any]:
    return {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "samples": 500, "features": 20, "low": -1.7, "high": 1.7, "noise": 3.0},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 400, "batch_size": batch},
    }


RULE = Rule(
    id="noisy_gradient",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    thresholds=("noise_over_batch", "not_learned_skill", "harmed_skill"),
    caused_by=("learning_rate_too_high",),
    sick=(_regression(1, 0.06),),
    healthy=(_regression(64, 0.06),),
)
