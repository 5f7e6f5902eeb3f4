"""What is meant to hold the weights back holds learning back.

Sees: the pull of the weight decay (decay times weights, or of a decoupled one its part in the update) over that of the
gradient, and that of L1 over the gradient that it is a part of, typically; it fires above restraint_share. And the largest dropout, above large_dropout.

Hurts: the minimum of what is minimised is near zero weights, and not where the data are fitted.

Silent: where training goes well; near its end every gradient is as small as the decay.

Foresees: the same pull against the gradient before the first step, which is larger there than it will be; as a warning.

Source: Krogh & Hertz 1991 (weight decay); Loshchilov & Hutter 2019 (decoupled); Srivastava et al. 2014 (dropout).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond, share_beyond
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.weighing import spans, weighted_median
from gradclinic.history import Restraint


def check(case: Case) -> Finding | None:
    """Fire where a restraint outweighs the data, and the training suffered."""
    restraint = case.history.facts.restraint
    if restraint is None or case.severity == "info":
        return None
    threshold, large = case.thresholds["restraint_share"], case.thresholds["large_dropout"]
    pull = _pull(case, restraint)
    if pull is not None and pull > threshold:
        said = f"The weight decay of {restraint.weight_decay:g} pulls {pull:.2g} times as hard as the data."
        evidence = Evidence(signal="decay_over_gradient", value=pull, threshold=threshold)
        return _finding(case, said, evidence, beyond(pull, threshold))
    l1 = _pull_of_l1(case, restraint)
    if l1 is not None and l1 > threshold:
        said = f"The L1 penalty of {restraint.l1:g} alone pulls {l1:.2g} times as hard as it and the data together."
        evidence = Evidence(signal="l1_over_gradient", value=l1, threshold=threshold)
        return _finding(case, said, evidence, beyond(l1, threshold))
    if restraint.dropout > large:
        said = f"A dropout of {restraint.dropout:g} leaves {1 - restraint.dropout:.0%} of the numbers to learn from."
        evidence = Evidence(signal="dropout", value=restraint.dropout, threshold=large)
        return _finding(case, said, evidence, share_beyond(restraint.dropout, large))
    return None


def _pull(case: Case, restraint: Restraint) -> float | None:
    """Return how hard the weight decay pulls, relative to the gradient: the median over weights and steps."""
    if restraint.weight_decay <= 0:
        return None
    table, ratios = case.history["weight_norm"], case.weight_updates
    weights = [name for name in table.subjects if "weight" in name.rpartition(".")[2]]
    if restraint.is_decoupled and ratios is not None and "lr" in case.history:
        shrinks = float(case.typical("lr", case.history["lr"].series())) * restraint.weight_decay
        update = float(np.nanmedian(case.typical("update_ratio", ratios)))
        return shrinks / update if update > 0 else None
    norms = case.history["grad_norm"]
    at, both = np.isin(norms.steps, table.steps), np.isin(table.steps, norms.steps)
    pulls = [
        restraint.weight_decay * table.series(name)[both] / np.maximum(norms.series(name)[at], 1e-45)
        for name in weights
        if name in norms.subjects
    ]
    if not pulls or not both.any():
        return None
    counts = spans(table.steps[both], case.history.last_step)
    return float(weighted_median(np.concatenate(pulls), np.tile(counts, len(pulls))))


def _pull_of_l1(case: Case, restraint: Restraint) -> float | None:
    """Return how hard L1 pulls, relative to the recorded gradient, of which it is a part: the median over weights and steps.

    Its own gradient has the norm l1 sqrt(n) for n weights. Where it leads, the sum is about as long; where the data hold against
    it, and no weight moves any more, the sum is shorter.
    """
    if restraint.l1 <= 0:
        return None
    norms = case.history["grad_norm"]
    pulls = []
    for layer in case.history.facts.layers:
        name = f"{layer.name}.weight"
        if layer.weight_shape is None or len(layer.weight_shape) < 2 or name not in norms.subjects:
            continue
        own = restraint.l1 * math.sqrt(math.prod(layer.weight_shape))
        pulls.append(own / np.maximum(norms.series(name), 1e-45))
    if not pulls or not len(norms.steps):
        return None
    counts = spans(norms.steps, case.history.last_step)
    return float(weighted_median(np.concatenate(pulls), np.tile(counts, len(pulls))))


def _finding(case: Case, said: str, evidence: Evidence, confidence: float) -> Finding:
    return Finding(
        rule="over_regularized",
        severity=case.severity,
        first_step=0,
        summary=said,
        evidence=[evidence],
        cause=Cause(what="loss", detail=said.rstrip("."), share=1.0, confidence=confidence),
    )


def _digits(decay: float, l1: float = 0.0) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1, "weight_decay": decay},
        "training": {"steps": 200, "l1": l1},
    }


RULE = Rule(
    id="over_regularized",
    documentation=__doc__ or "",
    signals=("weight_norm", "grad_norm", "loss"),
    check=check,
    foresee=check,
    thresholds=("restraint_share", "large_dropout", "not_learned_skill", "harmed_skill"),
    sick=(_digits(1.0), _digits(0.0, l1=0.05)),
    healthy=(_digits(1e-4), _digits(0.0, l1=1e-5)),
)
