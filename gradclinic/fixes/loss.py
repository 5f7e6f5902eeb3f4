"""Bring the output layer and the loss together, and let rare classes count.

When it applies:
    An activation after the last layer that the loss has built in, or whose range does not hold the answers; a loss that gets
    something else than it takes; a loss of distances on classes; classes of very different frequency.

What it changes:
    What stands behind the last layer with weights: it is left out before losses of logits and of distances, and becomes
    LogSoftmax before those of log probabilities. BCELoss becomes BCEWithLogitsLoss without a Sigmoid, which is more exact. A loss of
    distances on classes becomes CrossEntropyLoss, with an output for each class. For class imbalance, the loss weighs each class
    by the square root of the inverse of its share of the rows, or by the inverse.

What it costs:
    Nothing. The losses before and after are on different scales; compare the metric. Weighing rare classes trades errors on
    frequent classes for fewer on rare ones.

When it is known not to help:
    Where the activation at the end holds all answers and the loss takes it. Class weights change little once the training
    data are fitted perfectly.

Source:
    - Goodfellow, Bengio & Courville 2016, Deep Learning, section 6.2.2 (output units and their losses)
    - PyTorch's documentation of CrossEntropyLoss and BCEWithLogitsLoss
    - Golik, Doetsch & Ney 2013, Cross-entropy vs. squared error training
    - King & Zeng 2001, Logistic regression in rare events data (weights by inverse frequency)
    - Mahajan et al. 2018, Exploring the limits of weakly supervised pretraining, arXiv:1805.00932 (the square root)
    - Byrd & Lipton 2019, What is the effect of importance weighting in deep learning?, arXiv:1812.03372
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.feedforward import Linear
from gradclinic.contract.naming import pointer
from gradclinic.contract.spec import GraphModel
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Place, Posted
from gradclinic.fixes.tail import LOG_SOFTMAX, activations_after_the_last_layer, remove_layers, renamed

KIND: FixKind = "loss"
ADDRESSES: tuple[RuleId, ...] = (
    "loss_mismatch", "misplaced_activation", "training_error", "class_imbalance", "zero_gradient", "non_finite",
    "loss_not_decreasing", "vanishing_gradient", "saturated_activations",
)  # fmt: skip

BY_ITSELF: frozenset[RuleId] = frozenset({"vanishing_gradient", "saturated_activations"})
"""Findings that another loss mends only where the posted one is not made for the task."""

TAKE_LOG_PROBABILITIES = frozenset({"NLLLoss", "KLDivLoss"})
MEASURE_DISTANCES = frozenset({"MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"})
GIVE_PROBABILITIES = frozenset({"Sigmoid", "Hardsigmoid", "Softmax"})
ONE_SIDED = frozenset({"ReLU", "ReLU6", "Softplus", "Exp", "Sigmoid", "Hardsigmoid", "Softmax"})
"""Activations that cut off answers; of those that are not here a regression can reach all or most numbers."""

MILD = 0.5
"""Power of the inverse share that is proposed first.

Measured on digits, moons and tumours with imbalances of 10 and 50, two seeds each: on digits the accuracy rose from 0.92 and 0.91 to 0.94
to 0.96 with the square root, and to 0.90 to 0.94 with the inverse. On the others, whose classes overlap, the inverse cost 0.04 to 0.2,
the square root 0.04 at most.
"""

FURTHEST = 100.0
"""The largest weight of a class over the smallest: beyond it a step on a rare row is as large as a hundred others together."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the one output and loss that belong together, or weights for the classes."""
    if finding.rule == "class_imbalance":
        return _weighted_classes(posted)
    loss, tail = posted.spec.loss.type, activations_after_the_last_layer(posted)
    # A graph may end with any activation; that its loss does not take it, PyTorch has to have said.
    is_unknown = isinstance(posted.spec.model, GraphModel) and finding.rule not in {"loss_mismatch", "training_error"}
    if is_unknown or (loss not in MEASURE_DISTANCES and finding.rule in BY_ITSELF):
        return []
    kinds = [place.layer.type for place in tail]
    if loss in {"CrossEntropyLoss", "BCEWithLogitsLoss"}:
        wrong = [place for place in tail if place.layer.type != "LogSoftmax" or len(tail) > 1]
        return [_without(posted, wrong, f"{loss} has its own, and takes what comes before it")] if wrong else []
    if loss in TAKE_LOG_PROBABILITIES:
        is_fit = kinds in (["LogSoftmax"], ["LogSigmoid"])
        return [] if is_fit else [_log_softmax(posted, tail)]
    if loss == "BCELoss":
        return [] if kinds and kinds[-1] in GIVE_PROBABILITIES else [_with_logits(posted, tail)]
    if loss in MEASURE_DISTANCES:
        return _of_distances(posted, finding, tail)
    return []


def _of_distances(posted: Posted, finding: Finding, tail: list[Place]) -> list[Candidate]:
    if posted.classes is not None:
        return _of_classes(posted, posted.classes, tail)
    if finding.rule in BY_ITSELF:
        return []
    wrong = tail if finding.rule == "loss_mismatch" else [place for place in tail if place.layer.type in ONE_SIDED]
    return [_without(posted, wrong, "a regression has to be able to answer any number")] if wrong else []


def _without(posted: Posted, wrong: list[Place], reason: str) -> Candidate:
    named = " and ".join(dict.fromkeys(place.layer.type for place in wrong))
    why = f"{named} behind the last layer squeezes or cuts off what it says, and passes back little gradient or none; {reason}."
    slug = f"loss-without-{named.lower().replace(' and ', '-')}"
    return Candidate(slug, f"Leave out the {named} after the last layer", remove_layers(posted, wrong), why)


def _log_softmax(posted: Posted, tail: list[Place]) -> Candidate:
    loss = posted.spec.loss.type
    if tail:
        *before, last = tail
        patch: list[Operation] = [
            {"op": "replace", "path": pointer(*last.keys), "value": renamed(LOG_SOFTMAX, last)},
            *remove_layers(posted, before),
        ]
    else:
        patch = [{"op": "add", "path": "/model/layers/-", "value": dict(LOG_SOFTMAX)}]
    why = f"{loss} takes logarithms of probabilities, which LogSoftmax makes; of other numbers it has no minimum to go to."
    return Candidate("loss-log-softmax", f"End with LogSoftmax, as {loss} expects", patch, why)


def _with_logits(posted: Posted, tail: list[Place], **keywords: Any) -> Candidate:
    value: dict[str, Any] = {"type": "BCEWithLogitsLoss", **keywords}
    if posted.spec.loss.reduction != "mean":
        value["reduction"] = posted.spec.loss.reduction
    patch: list[Operation] = [*remove_layers(posted, tail), {"op": "replace", "path": "/loss", "value": value}]
    why = (
        "BCELoss takes probabilities and raises an error, or has no gradient, for other numbers; BCEWithLogitsLoss takes "
        "whatever the last layer gives, and is more exact where it is large."
    )
    return Candidate("loss-bce-with-logits", "Use BCEWithLogitsLoss on the last layer's own output", patch, why)


def _of_classes(posted: Posted, classes: int, tail: list[Place]) -> list[Candidate]:
    """Propose the cross entropy, with an output for each class."""
    output = posted.output
    if output is None:
        return []
    last = [place for place in posted.places.values() if place.role == "output" and isinstance(place.layer, Linear)]
    patch: list[Operation] = []
    if output[-1] != classes:
        if len(last) != 1 or last[0].turns != 1 or output != (1,):
            return []
        patch.append({"op": "replace", "path": pointer(*last[0].keys, "out_features"), "value": classes})
    value: dict[str, Any] = {"type": "CrossEntropyLoss"}
    if posted.spec.loss.reduction != "mean":
        value["reduction"] = posted.spec.loss.reduction
    patch += [{"op": "replace", "path": "/loss", "value": value}, *remove_layers(posted, tail)]
    why = (
        f"{posted.spec.loss.type} measures distances, and the targets are classes: the further an answer is off, the weaker is "
        "the gradient that a squashed output passes back. The cross entropy's is as large as the error."
    )
    return [Candidate("loss-cross-entropy", "Use CrossEntropyLoss for the classes", patch, why)]


def _weighted_classes(posted: Posted) -> list[Candidate]:
    """Propose weights by the share of each class, where the shares are known and the loss can weigh: mild ones first."""
    shares, loss = posted.measured.class_shares, posted.spec.loss
    known = [share for share in shares if share > 0]
    outputs = posted.output[-1] if posted.output else len(shares)
    if len(known) < 2 or (outputs != len(shares) and loss.type != "BCEWithLogitsLoss"):
        return []
    if getattr(loss, "weight", None) is not None or getattr(loss, "pos_weight", None) is not None:
        return []
    found = []
    for slug, power, how in (("", MILD, "the square root of the inverse"), ("-full", 1.0, "the inverse")):
        setting = _setting(posted, power)
        if setting is None:
            return []
        why = (
            f"Each class counts in the loss by {how} of its share of the rows, so that rare ones are not drowned. Errors on frequent "
            "classes become more, those on rare ones fewer; where classes overlap, accuracy falls, which counts rows and not classes."
        )
        patch = set_value(posted.document, *setting)
        found.append(Candidate(f"loss-class-weights{slug}", f"Weigh each class by {how} of its share", patch, why))
    return found


def _setting(posted: Posted, power: float) -> tuple[tuple[str, str], Any] | None:
    """Return the key of the loss that weighs classes, and the weights."""
    shares, loss = posted.measured.class_shares, posted.spec.loss.type
    if loss in {"CrossEntropyLoss", "NLLLoss"}:
        known = [share for share in shares if share > 0]
        weights = [(1 / (len(known) * share)) ** power if share > 0 else 1.0 for share in shares]
        heaviest = FURTHEST * min(weights)
        return ("loss", "weight"), [float(f"{min(weight, heaviest):.3g}") for weight in weights]
    if loss == "BCEWithLogitsLoss" and len(shares) == 2 and min(shares) > 0:
        return ("loss", "pos_weight"), float(f"{min((shares[0] / shares[1]) ** power, FURTHEST):.3g}")
    return None
