"""An activation stands where it does not belong, or none where one is needed.

Sees: a softmax between layers; an activation after the last layer that cuts off answers below zero; and several layers with
weights one after the other without any nonlinearity in the whole model.

Hurts: a softmax between layers makes all units share one sum, and passes on little gradient. A ReLU at the end answers 0 for
whatever should be negative, and passes no gradient back from there. Linear layers in a row are one linear layer.

Silent: where it does no harm, it is told as info. A softmax inside an attention is none of these.

Foresees: the same, for it stands in the spec; as a warning.

Source: NeuraLint (Nikanjam et al. 2021), rules on missing and misplaced activations; UMLAUT (Schoop et al. 2021).
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.contract.layers import type_names
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN
from gradclinic.diagnosis.output_layer import output_activation
from gradclinic.diagnosis.rule import Rule
from gradclinic.history import LayerFacts

SHARING = frozenset({"Softmax", "LogSoftmax", "Softmin"})
ONE_SIDED = frozenset({"ReLU", "ReLU6", "Softplus", "Exp"})
"""Activations without answers below 0."""
LINEAR = frozenset({"Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"})
NONLINEAR = type_names(AnyActivation) | {
    "Softmax", "LogSoftmax", "GLU", "Exp", "RNN", "LSTM", "GRU", "TransformerEncoderLayer", "MultiheadAttention",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "Max", "Embedding",
}  # fmt: skip
"""Layers that are not linear in their input, normalisations aside: those are linear but for a scale."""


def check(case: Case) -> Finding | None:
    """Fire on the first of the three that is there."""
    layers = [layer for layer in case.history.facts.layers if layer.on_trunk]
    if not layers or not case.sees_all_layers:
        return None
    return _shared(case, layers) or _cut_off(case, layers) or _linear(case)


def _shared(case: Case, layers: list[LayerFacts]) -> Finding | None:
    found = [
        layer
        for place, layer in enumerate(layers)
        if layer.type in SHARING and any(later.parameters for later in layers[place + 1 :])
    ]
    if not found:
        return None
    said = f"{found[0].type} stands between layers: its units share a sum of 1, and little gradient comes through."
    return _finding(case, [layer.name for layer in found], said)


def _cut_off(case: Case, layers: list[LayerFacts]) -> Finding | None:
    last, targets = output_activation(layers), case.history.facts.targets
    if last is None or last.type not in ONE_SIDED or targets is None:
        return None
    of_classes = case.history.facts.loss in {"CrossEntropyLoss", "BCEWithLogitsLoss"}
    if not of_classes and (targets.lowest is None or targets.lowest >= 0):
        return None
    return _finding(case, [last.name], f"{last.type} after the last layer cuts off every answer below zero.")


def _linear(case: Case) -> Finding | None:
    layers = case.history.facts.layers
    weighty = [layer for layer in layers if layer.type in LINEAR]
    if len(weighty) < 2 or any(layer.type in NONLINEAR for layer in layers):
        return None
    said = f"{len(weighty)} layers with weights and no nonlinearity: together they can do what one of them can."
    return _finding(case, [layer.name for layer in weighty], said)


def _finding(case: Case, layers: list[str], said: str) -> Finding:
    return Finding(
        rule="misplaced_activation",
        severity=case.severity,
        first_step=0,
        layers=layers,
        summary=said,
        evidence=[Evidence(signal="layers", value=None, step=0, layer=layers[0], words=said)],
        cause=Cause(what="activation", detail=said.rstrip("."), share=1.0, confidence=KNOWN),
    )


def _circles(*between: str) -> dict[str, Any]:
    hidden = [{"type": "Linear", "out_features": 32}, *({"type": name} for name in between)]
    return {
        "model": {"layers": [*hidden, *hidden, {"type": "Linear", "out_features": 2}]},
        "data": {"type": "circles", "samples": 600, "noise": 0.05, "factor": 0.5},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "training": {"steps": 300},
    }


RULE = Rule(
    id="misplaced_activation",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=check,
    thresholds=("not_learned_skill", "harmed_skill"),
    sick=(_circles(),),
    healthy=(_circles("ReLU"),),
)
