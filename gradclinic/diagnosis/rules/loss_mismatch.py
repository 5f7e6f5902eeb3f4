"""The output layer and the loss do not belong together.

Sees: the last activation and the loss: a softmax, a sigmoid or a ReLU before a loss that takes logits; anything but log
probabilities before one that takes those; and in a regression an activation whose range does not hold the targets.

Hurts: the loss cannot get small however good the model is, its gradient is weak, and half of the answers may be out of reach.

Silent: where it does no harm, it is told as info: log probabilities are their own logits, and a range may hold all targets.

Foresees: the same, for it stands in the spec; as a warning.

Source: PyTorch's documentation of its losses; NeuraLint (Nikanjam et al. 2021) checks the same on the code.
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Cause, Evidence, Finding, Severity
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN
from gradclinic.diagnosis.output_layer import RANGES, ends_with_weights, output_activation
from gradclinic.diagnosis.rule import Rule

TAKE_LOGITS = frozenset({"CrossEntropyLoss", "BCEWithLogitsLoss"})
TAKE_LOG_PROBABILITIES = frozenset({"NLLLoss", "KLDivLoss"})
TAKE_PROBABILITIES = frozenset({"BCELoss"})
MEASURE_DISTANCES = frozenset({"MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"})
PROBABILITIES = frozenset({"Sigmoid", "Hardsigmoid", "Softmax"})

OUTSIDE = 0.05
"""Share of the targets' span that may lie outside of what the activation can give."""


def check(case: Case) -> Finding | None:
    """Fire where what comes out is not what the loss takes."""
    facts = case.history.facts
    if facts.loss is None or not facts.layers:
        return None
    said = _mismatch(case, facts.loss)
    if said is None:
        return None
    last = next((layer.name for layer in reversed(facts.layers) if layer.on_trunk), facts.layers[-1].name)
    detail, expected = said
    return Finding(
        rule="loss_mismatch",
        severity=_severity(case),
        first_step=0,
        layers=[last],
        summary=f"{detail} {expected}",
        evidence=[Evidence(signal="output_layer", value=None, step=0, layer=last, words=detail)],
        cause=Cause(what="loss", detail=detail.rstrip("."), share=1.0, confidence=KNOWN),
    )


def _severity(case: Case) -> Severity:
    """Judge by the metric where there is one: the loss itself is what is wrong.

    The fault is certain, so that any training which could have been better counts as harmed by it.
    """
    if case.preflight is not None:
        return case.severity
    learning = case.learning
    skill = learning.metric_skill
    if learning.diverged or (skill is not None and skill < case.thresholds["not_learned_skill"]):
        return "critical"
    if skill is None and case.severity == "critical":
        return "critical"
    return "warning" if learning.is_harmed(case.thresholds["good_skill"]) else "info"


def _mismatch(case: Case, loss: str) -> tuple[str, str] | None:
    """Return what is wrong, and what would be right."""
    layers = case.history.facts.layers
    last = output_activation(layers)
    kind = last.type if last else None
    # Of a user's own loop, or a graph, the last activation may be a function: only weights that stand last are known to be last.
    if kind is None and not (case.sees_all_layers and ends_with_weights(layers)):
        return None
    if loss in TAKE_LOGITS and kind is not None and kind != "LogSoftmax":
        return (
            f"{loss} takes logits, and gets what {kind} leaves of them.",
            f"Leave the {kind} out: the loss has its own.",
        )
    if loss in TAKE_LOG_PROBABILITIES and kind not in {"LogSoftmax", "LogSigmoid"}:
        return f"{loss} takes log probabilities, and gets {_what(kind)}.", "End with LogSoftmax."
    if loss in TAKE_PROBABILITIES and kind not in PROBABILITIES:
        return f"{loss} takes probabilities, and gets {_what(kind)}.", "End with Sigmoid, or take BCEWithLogitsLoss."
    if loss in MEASURE_DISTANCES and kind is not None:
        return _out_of_reach(case, kind)
    return None


def _what(kind: str | None) -> str:
    return f"what comes out of {kind}" if kind else "plain numbers"


def _out_of_reach(case: Case, kind: str) -> tuple[str, str] | None:
    targets = case.history.facts.targets
    if targets is None or targets.lowest is None or targets.highest is None:
        return None
    low, high = RANGES[kind]
    allowed = OUTSIDE * (targets.highest - targets.lowest)
    if low - allowed <= targets.lowest and targets.highest <= high + allowed:
        return None
    given = f"from {targets.lowest:.3g} to {targets.highest:.3g}"
    return (
        f"{kind} gives numbers from {low:g} to {high:g}, and the targets go {given}.",
        f"Leave the {kind} out, or scale the targets.",
    )


def _digits(*tail: str) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": [*layers, *({"type": name} for name in tail)]},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="loss_mismatch",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=check,
    thresholds=("good_skill", "not_learned_skill"),
    sick=(_digits("Softmax"),),
    healthy=(_digits(), _digits("LogSoftmax")),
)
