"""Take an optimizer that scales each weight's steps by itself, or one with a memory of its direction.

When it applies:
    A gradient that vanishes or explodes, values that are not finite, inputs or targets of other scales than 1, a loss that does not fall or
    oscillates, or a training that ended too early, under an optimizer whose steps follow the size of the gradient. A loss that does not fall
    under one whose steps die away or begin tiny, such as Adagrad and Adadelta.

What it changes:
    The optimizer becomes Adam at the learning rate that a range test of it suggests (0.001 without one); the weight decay is kept, what Adam
    does not have is dropped. Where the length of the steps is the matter itself, SGD with momentum, NAdam and RMSprop as well.

What it costs:
    Two more numbers for each weight (Adam, NAdam), one for RMSprop and momentum.

When it is known not to help:
    Where the gradient is lost rather than small: in ten or more Sigmoid layers nothing but noise is left to be rescaled.
    It treats the symptom, and the layers go on damping.

Source:
    - Kingma & Ba 2015, Adam: a method for stochastic optimization, arXiv:1412.6980
    - Sutskever et al. 2013, On the importance of initialization and momentum in deep learning
    - Dozat 2016, Incorporating Nesterov momentum into Adam
    - Tieleman & Hinton 2012, Lecture 6.5: RMSprop
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.optimizer import ASGD, SGD, Adadelta, Adagrad, Rprop
from gradclinic.contract.scheduler import CyclicLR, OneCycleLR
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_broken_from_the_start
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted

KIND: FixKind = "optimizer"
ADDRESSES: tuple[RuleId, ...] = (
    "vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing", "learning_rate_too_low",
    "learning_rate_too_high", "oscillating_loss", "unnormalized_input", "unnormalized_target", "undertrained", "poor_initialization",
    "unchanged_weights",
)  # fmt: skip

HABIT = 1e-3
"""Adam's learning rate where none was measured: the default of its authors."""

MOST = 0.03
"""Rate of Adam beyond which a step is long for weights of any usual scale, whatever a range test says that began far off.

Measured on four trainings whose first loss was many times the trivial one, on two seeds each: range tests suggested 0.1 to 1, at which
seven of eight ended critical; at 0.03 two did.
"""

NOT_ADAPTIVE = (SGD, ASGD, Rprop, Adagrad, Adadelta)
"""Optimizers in whose place Adam is something else: the last two are adaptive, and their steps die away or begin tiny."""

MOMENTUM = 0.9

MOMENTUM_HELPS: frozenset[RuleId] = frozenset(
    {"undertrained", "learning_rate_too_low", "loss_not_decreasing", "oscillating_loss"}
)
"""Where the direction is right and the way long, or where steps swing across a valley. It makes no gradient larger or smaller."""

KIN_HELPS: frozenset[RuleId] = frozenset({"loss_not_decreasing", "learning_rate_too_low", "oscillating_loss"})
"""Where the length of the steps is the matter itself. Where Adam treats something else, its kin tell no more than it does."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose Adam, then momentum, then Adam's kin."""
    now = posted.spec.optimizer
    if not isinstance(now, NOT_ADAPTIVE) or is_broken_from_the_start(finding):
        return []
    lr = min(posted.measured.adam_lr or HABIT, MOST)
    why = (
        f"Adam divides each weight's gradient by its own recent size, so that every layer moves by about {lr:g} a "
        "step, however small or large the gradient that reaches it. The gradient itself stays as it is."
    )
    kin = "It scales each weight's steps by the recent size of its gradient, as Adam does"
    found = [instead(posted, "Adam", lr, why)]
    if isinstance(now, SGD) and now.momentum == 0 and finding.rule in MOMENTUM_HELPS:
        found.append(_momentum(posted, now))
    if finding.rule in KIN_HELPS:
        found.append(instead(posted, "NAdam", lr, f"{kin}, and looks one step ahead with its momentum."))
        found.append(instead(posted, "RMSprop", lr, f"{kin}, without a memory of their direction."))
    return found


def instead(posted: Posted, type_: str, lr: float, why: str) -> Candidate:
    """Return the change to another optimizer, with what the posted one has in common with it."""
    new: dict[str, Any] = {"type": type_, "lr": lr}
    decay: float = getattr(posted.spec.optimizer, "weight_decay", 0.0)  # Rprop has none
    if decay:
        new["weight_decay"] = decay
    if posted.spec.optimizer.maximize:
        new["maximize"] = True
    return _candidate(posted, type_.lower(), f"Use {type_} with a learning rate of {lr:g}", new, why)


def _momentum(posted: Posted, now: SGD) -> Candidate:
    """Momentum sums the steps of one direction to ten of them; a rate that was measured for single ones is divided by that."""
    measured = posted.measured.suggested_lr
    lr = now.lr if measured is None else float(f"{max(measured, now.lr) * (1 - MOMENTUM):.2g}")
    new = {**posted.document["optimizer"], "lr": lr, "momentum": MOMENTUM}
    why = "Steps add up where they agree, and cancel out where they swing across a valley."
    title = f"Use momentum {MOMENTUM:g} with a learning rate of {lr:g}"
    return _candidate(posted, "momentum", title, new, why)


def _candidate(posted: Posted, slug: str, title: str, new: dict[str, Any], why: str) -> Candidate:
    patch: list[Operation] = [{"op": "replace", "path": "/optimizer", "value": new}]
    if isinstance(posted.spec.scheduler, OneCycleLR | CyclicLR):
        patch += set_value(posted.document, ("scheduler", "max_lr"), new["lr"])
    return Candidate(f"optimizer-{slug}", title, patch, why)
