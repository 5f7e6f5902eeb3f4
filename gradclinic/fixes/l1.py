"""Charge for the absolute value of each weight, or stop charging too much.

When it applies:
    A model that learns its training data by heart, where most inputs or units may be of no use. The other way round, where a penalty is posted and
    the model is held back, or its loss does not fall under one that is not small.

What it changes:
    `training.l1` becomes what pulls all weights together as hard as the first gradient did; without a record of that, 0.0001. Where it
    holds learning back: a hundredth of what is posted, then none.

What it costs:
    One more pass over the weights a step.

When it is known not to help:
    Where every input counts a little: it drops some of them. Under a loss that does not fall it holds the model back further.

Source:
    - Tibshirani 1996, Regression shrinkage and selection via the lasso
    - Ng 2004, Feature selection, L1 vs. L2 regularization, and rotational invariance
"""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "l1"
ADDRESSES: tuple[RuleId, ...] = ("overfitting", "over_regularized", "loss_not_decreasing")

HABIT = 1e-4
"""The penalty where no gradient was recorded."""

PULL = 1.0
"""Of the penalty's gradient, which is its weight times the root of the number of weights, relative to the first one of the data.

Measured on four overfitted trainings, two seeds each: at 1 six of eight were healthy, at 0.05 none.
"""

LOWER = 100.0


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a penalty, or a smaller one and then none."""
    now = posted.spec.training.l1
    if finding.rule == "overfitting":
        return [] if now > 0 else [_charged(posted)]
    if now == 0 or (finding.rule == "loss_not_decreasing" and now <= HABIT):
        return []
    why = "The penalty pulls each weight to zero at a constant pace, whatever the data say of it."
    less = float(f"{now / LOWER:.1g}")
    at = ("training", "l1")
    return [
        Candidate(
            "l1-lower", f"Lower the L1 penalty from {now:g} to {less:g}", set_value(posted.document, at, less), why
        ),
        Candidate("l1-removed", "Do without an L1 penalty", set_value(posted.document, at, 0.0), why),
    ]


def _charged(posted: Posted) -> Candidate:
    norm, parameters = posted.measured.initial_grad_norm, posted.measured.parameters
    l1 = float(f"{PULL * norm / math.sqrt(parameters):.1g}") if norm and parameters else HABIT
    why = "Weights that are of little use go to zero, and with them what the model could store of single rows."
    return Candidate("l1", f"Use an L1 penalty of {l1:g}", set_value(posted.document, ("training", "l1"), l1), why)
