"""The weights begin where learning is hard: units that are copies of each other, or weights that are too large.

Sees: the share of a layer's units that begin with the weights of another unit, above alike_share. And the first loss of a
classification over that of a network that is sure of nothing, ln(classes) for the cross entropy, above start_loss.

Hurts: equal units get equal gradients and stay equal: the layer has one unit. Weights that are too large make a fresh network
sure of its guesses; the training spends its steps on taking that back.

Silent: where training goes well: a last layer may begin as zeros, and a dropout or an embedding tells its units apart.

Foresees: copies that get the same gradient, too, critical where a layer has nothing else; and the first loss over several seeds, as a
warning, but not where it comes from an offset that the answers to all samples share.

Source: Goodfellow et al. 2016, section 8.4 (symmetry); the check of the first loss against ln(classes) in TheDeepChecker.
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Cause, Evidence, Finding, Severity
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN, beyond
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire on copies first, for they explain the most; else on the size."""
    if _severity(case) == "info":
        return None
    return _alike(case) or _too_large(case)


def _severity(case: Case) -> Severity:
    """Judge by the metric where there is one: a loss falls a little even where all units are one."""
    skill = case.learning.metric_skill
    if case.preflight is None and skill is not None and skill < case.thresholds["not_learned_skill"]:
        return "critical"
    return case.severity


def _alike(case: Case) -> Finding | None:
    threshold = case.thresholds["alike_share"]
    layers = [layer for layer in case.history.facts.layers if (layer.alike_units or 0.0) > threshold]
    if not layers:
        return None
    return Finding(
        rule="poor_initialization",
        severity=_severity(case),
        first_step=0,
        layers=[layer.name for layer in layers],
        summary=f"{layers[0].alike_units:.0%} of the units of {layers[0].name} begin as copies of one another, and get the same gradient.",
        evidence=[
            Evidence(signal="alike_units", value=layer.alike_units, threshold=threshold, layer=layer.name, step=0)
            for layer in layers
        ],
        cause=Cause(what="weights", detail="Nothing tells the units of a layer apart", share=1.0, confidence=KNOWN),
    )


def _too_large(case: Case) -> Finding | None:
    over, threshold = case.start_over_trivial, case.thresholds["start_loss"]
    # Not over the trivial loss: where some classes are rare, a network that is sure of nothing has more than that.
    start = None if over is None else over / case.even_over_trivial
    if case.history.facts.task != "classification" or start is None or not start > threshold:
        return None
    return Finding(
        rule="poor_initialization",
        severity=_severity(case),
        first_step=0,
        summary=f"The first loss is {start:.3g} times that of a network that holds all classes for equally likely: a fresh network is sure of its guesses.",
        evidence=[Evidence(signal="start_over_undecided", value=start, threshold=threshold, step=0)],
        cause=Cause(
            what="weights",
            detail="The weights are too large for the numbers of their inputs",
            share=1.0,
            confidence=beyond(start, threshold),
        ),
    )


def _foresee(case: Case) -> Finding | None:
    return _same_gradient(case) or (_too_large(case) if case.starts_far_off else None)


def _same_gradient(case: Case) -> Finding | None:
    """Fire on units that get the gradient of their copies; with a gradient of their own they part at the first step."""
    preflight, threshold = case.preflight, case.thresholds["alike_share"]
    layers = [layer for layer in preflight.alike if layer.share > threshold] if preflight is not None else []
    if not layers:
        return None
    worst = max(layers, key=lambda layer: layer.share)
    return Finding(
        rule="poor_initialization",
        severity="critical" if worst.share == 1 else "warning",
        first_step=0,
        layers=[layer.layer for layer in layers],
        summary=f"{worst.share:.0%} of the units of {worst.layer} begin as copies of one another, and get the same gradient.",
        evidence=[
            Evidence(signal="alike_units", value=layer.share, threshold=threshold, layer=layer.layer, step=0)
            for layer in layers
        ],
        cause=Cause(what="weights", detail="Nothing tells the units of a layer apart", share=1.0, confidence=KNOWN),
    )


def _digits(init: dict[str, Any]) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "Tanh"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers, "init": {"weight": init}},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="poor_initialization",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=_foresee,
    thresholds=("alike_share", "start_loss", "not_learned_skill", "harmed_skill"),
    sick=(_digits({"type": "constant_", "val": 0.1}),),
    healthy=(_digits({"type": "xavier_normal_"}),),
)
