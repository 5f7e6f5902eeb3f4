"""Pull the weights towards zero, or stop pulling them too hard.

When it applies:
    A model that learns its training data by heart. The other way round, where the decay outweighs the data, or the loss does not fall
    under a decay that is not small.

What it changes:
    `optimizer.weight_decay` becomes 1 / (learning rate x twice the steps to the best validation loss; a tenth of the training where that is not
    known): in so many steps a weight forgets what the data do not keep telling it. Adam becomes AdamW, which leaves the decay out of what it divides by.
    A decay that is as large already becomes ten times as large. Where it outweighs the data: what pulls by a hundredth of the gradient, then none.

What it costs:
    Nothing.

When it is known not to help:
    Where training rows are so few that no weights are both small and right. In front of a normalization it changes the length of the steps only.
    Under a loss that does not fall it holds the model back further.

Source:
    - Krogh & Hertz 1991, A simple weight decay can improve generalization
    - Loshchilov & Hutter 2019, Decoupled weight decay regularization, arXiv:1711.05101
    - Wang & Aitchison 2024, How to set AdamW's weight decay as you scale model and dataset size, arXiv:2405.13698
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import learning_rate_of, planned_steps

KIND: FixKind = "weight_decay"
ADDRESSES: tuple[RuleId, ...] = ("overfitting", "over_regularized", "loss_not_decreasing")

TIMES_BEST = 2
"""Steps in which a weight forgets over those to the best validation loss.

Measured on four overfitted trainings: with one to three times those steps the validation loss at the end fell to between 0.07 and
0.54 of what it was, with the length of the training to between 0.59 and 0.86.
"""

SHARE_OF_STEPS = 0.1
"""The same where the best step is not known, of the whole training."""

FEWEST_STEPS = 5
"""In fewer nothing is learned before it is forgotten."""

FACTOR = 10.0
"""Of one change of a decay that is posted already."""

GOOD_PULL = 0.01
"""Pull of the decay over that of the gradient at which the data decide."""

SMALL = 1e-3
"""Decay up to which it is not suspected of a loss that does not fall."""

DECOUPLED = {"Adam": "AdamW", "AdamW": "AdamW"}


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose a decay, or a smaller one and then none."""
    now = float(getattr(posted.spec.optimizer, "weight_decay", 0.0))
    if finding.rule == "overfitting":
        return _more(posted, now)
    if now == 0 or (finding.rule == "loss_not_decreasing" and now <= SMALL):
        return []
    why = "The decay pulls the weights to zero harder than the data pull them to where they would fit."
    pull = next((e.value for e in finding.evidence if e.signal == "decay_over_gradient" and e.value), None)
    less = float(f"{now * min(GOOD_PULL / pull, 1 / FACTOR) if pull else now / 100:.1g}")
    return [
        Candidate("weight-decay-lower", f"Lower the weight decay from {now:g} to {less:g}", _set(posted, less), why),
        Candidate("weight-decay-removed", "Do without weight decay", _set(posted, 0.0), why),
    ]


def _more(posted: Posted, now: float) -> list[Candidate]:
    type_, memory, rate = posted.spec.optimizer.type, _memory(posted), _rate(posted)
    if memory is None or rate <= 0 or "weight_decay" not in type(posted.spec.optimizer).model_fields:
        return []
    usual = 1 / (rate * memory)
    decay = float(f"{now * FACTOR if now >= usual else usual:.1g}")
    kind = DECOUPLED.get(type_, type_)
    why = "Weights that have to be paid for are spent on what many rows share, and not on single ones."
    title = f"Use a weight decay of {decay:g}" + (f", decoupled ({kind})" if kind != type_ else "")
    return [Candidate("weight-decay", title, _set(posted, decay, kind), why)]


def _memory(posted: Posted) -> int | None:
    """Return the steps in which a weight shall forget."""
    best, steps = posted.measured.best_step, planned_steps(posted)
    if best is not None:
        return max(TIMES_BEST * best, FEWEST_STEPS)
    return None if steps is None else max(round(SHARE_OF_STEPS * steps), FEWEST_STEPS)


def _rate(posted: Posted) -> float:
    """Return the learning rate; momentum sums the steps of one direction to 1 / (1 - momentum) of them."""
    momentum = getattr(posted.spec.optimizer, "momentum", 0.0)
    return learning_rate_of(posted) / (1 - momentum) if momentum < 1 else 0.0


def _set(posted: Posted, decay: float, type_: str | None = None) -> list[Operation]:
    """Return the operations; where the type changes as well, the optimizer as a whole."""
    if type_ is None or type_ == posted.spec.optimizer.type:
        return set_value(posted.document, ("optimizer", "weight_decay"), decay)
    new: dict[str, Any] = {**posted.document["optimizer"], "type": type_, "weight_decay": decay}
    return [{"op": "replace", "path": "/optimizer", "value": new}]
