"""The remedies that the articles name, as plain changes of a posted spec, each at the settings that textbooks give.

A remedy has up to three settings and the best of them counts, so that none fails for how it was set. Where it is no remedy
(an activation that is there already) it is not applicable, and says so by returning None.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tools.evidence.faults import STEPS, Document
from tools.evidence.layers import (
    activation_of,
    after_activations,
    before_activations,
    hidden_layers,
    with_activation,
    with_blocks,
    with_hidden_layers,
    with_weights,
)

Change = Callable[[Document], Document | None]


@dataclass(frozen=True)
class Setting:
    """One way to set a remedy: its name, and the change; None where it is not applicable."""

    name: str
    change: Change


@dataclass(frozen=True)
class Remedy:
    """A remedy, and the ways to set it that are tried."""

    id: str
    settings: tuple[Setting, ...]

    def apply(self, document: Document) -> dict[str, Document]:
        """Return the changed specs, by the name of the setting; none where it is not applicable."""
        changed = {setting.name: setting.change(document) for setting in self.settings}
        return {name: spec for name, spec in changed.items() if spec is not None and spec != document}


def _with(part: str, values: dict[str, Any], document: Document) -> Document:
    changed = copy.deepcopy(document)
    changed[part] = (changed.get(part) or {}) | values
    return changed


def _slower(by: float, document: Document) -> Document:
    return _with("optimizer", {"lr": document["optimizer"]["lr"] / by}, document)


def _other_optimizer(name: str, lr: float, document: Document) -> Document | None:
    if document["optimizer"]["type"] == name:
        return None
    return copy.deepcopy(document) | {"optimizer": {"type": name, "lr": lr}}


def _momentum(values: dict[str, Any], document: Document) -> Document | None:
    """Add momentum at the spec's own rate; an adaptive optimizer's rate means nothing to SGD, there it is 0.01."""
    given = document["optimizer"]
    lr = given["lr"] if given["type"] == "SGD" else 0.01
    return copy.deepcopy(document) | {"optimizer": {"type": "SGD", "lr": lr} | values}


def _activation(name: str, weight: dict[str, Any] | None, document: Document) -> Document | None:
    return None if activation_of(document) == name else with_activation(document, name, weight)


def _initialized(weight: dict[str, Any], document: Document) -> Document | None:
    drawn = next(layer["init"] for layer in document["model"]["layers"] if "init" in layer)
    is_so = drawn == {"weight": weight, "bias": {"type": "zeros_"}}
    return None if is_so else with_weights(document, weight)


def _normalized(place: Callable[[Document, dict[str, Any]], Document], document: Document) -> Document | None:
    return place(document, {"type": "BatchNorm1d"}) if hidden_layers(document) else None


def _residual(before: bool, document: Document) -> Document | None:
    """Lead each block past itself; with `before` its activation stands before its weights (He et al. 2016b)."""
    if not hidden_layers(document):
        return None
    if not before:
        return with_blocks(document, lambda one: [one | {"layers": [_past(one["layers"])]}])
    # The first layer's activation moves into the first block, and the last block's comes after all of them.
    changed = with_blocks(document, lambda one: [one | {"layers": [_past(one["layers"][::-1])]}, one["layers"][-1]])
    del changed["model"]["layers"][1]
    return changed


def _past(layers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Residual", "layers": layers}


def _dense(document: Document) -> Document | None:
    if not hidden_layers(document):
        return None
    return with_blocks(document, lambda one: [one | {"type": "Dense"}])


def _fewer(count: Callable[[int], int], document: Document) -> Document | None:
    now = hidden_layers(document)
    return with_hidden_layers(document, count(now)) if 1 <= count(now) < now else None


def _other_loss(classes: str | None, numbers: str | None, document: Document) -> Document | None:
    """Another loss of the same task; what the metric asks for stays as it is, so that the outcomes compare."""
    is_regression = document["loss"]["type"] != "CrossEntropyLoss"
    name = numbers if is_regression else classes
    if name is None:
        return None
    changed = copy.deepcopy(document) | {"loss": {"type": name}}
    return changed if is_regression else _with("data", {"one_hot": True}, changed)


def _stop(patience: int, document: Document) -> Document:
    stopping = {"monitor": "val_loss", "patience": patience, "restore_best": True}
    return _with("training", {"early_stopping": stopping}, document)


def _decay(scheduler: dict[str, Any], document: Document) -> Document:
    return copy.deepcopy(document) | {"scheduler": dict(scheduler)}


def _settings(kind: Callable[..., Document | None], **ways: tuple[Any, ...]) -> tuple[Setting, ...]:
    return tuple(Setting(name.replace("_", " "), partial(kind, *arguments)) for name, arguments in ways.items())


def _of_values(what: str, kind: Callable[..., Document | None], *values: float) -> tuple[Setting, ...]:
    return tuple(Setting(f"{what}{value:g}", partial(kind, value)) for value in values)


def _rates(name: str, *rates: float) -> tuple[Setting, ...]:
    return tuple(Setting(f"lr {rate:g}", partial(_other_optimizer, name, rate)) for rate in rates)


def _penalty(part: str, key: str, *strengths: float) -> tuple[Setting, ...]:
    return tuple(Setting(f"{strength:g}", partial(_with, part, {key: strength})) for strength in strengths)


_HE = {"type": "kaiming_normal_", "nonlinearity": "relu"}
_XAVIER = {"type": "xavier_normal_"}
_ORTHOGONAL = {"type": "orthogonal_"}
_COSINE = {"type": "CosineAnnealingLR", "T_max": STEPS, "interval": "step"}
_STEPWISE = {"type": "StepLR", "step_size": STEPS // 3, "gamma": 0.1, "interval": "step"}


REMEDIES: tuple[Remedy, ...] = (
    Remedy("lower learning rate", _of_values("divided by ", _slower, 10, 100)),
    Remedy(
        "decaying learning rate",
        _settings(_decay, cosine=(_COSINE,), in_steps=(_STEPWISE,)),
    ),
    Remedy(
        "gradient clipping",
        (
            Setting("norm 1", partial(_with, "training", {"clip_grad_norm": 1.0})),
            Setting("value 0.5", partial(_with, "training", {"clip_grad_value": 0.5})),
        ),
    ),
    Remedy("Adam", _rates("Adam", 1e-3, 3e-3, 1e-2)),
    Remedy("RMSprop", _rates("RMSprop", 1e-3, 3e-3, 1e-2)),
    Remedy("NAdam", _rates("NAdam", 1e-3, 2e-3, 1e-2)),
    Remedy(
        "SGD with momentum",
        (
            Setting("0.9", partial(_momentum, {"momentum": 0.9})),
            Setting("0.99", partial(_momentum, {"momentum": 0.99})),
        ),
    ),
    Remedy("L1", _penalty("training", "l1", 1e-5, 1e-3)),
    Remedy("L2", _penalty("optimizer", "weight_decay", 1e-4, 1e-2)),
    Remedy(
        "dropout",
        tuple(Setting(f"{p:g}", partial(after_activations, added={"type": "Dropout", "p": p})) for p in (0.1, 0.5)),
    ),
    Remedy("early stopping", _of_values("patience ", _stop, 3, 10)),
    Remedy("ReLU", _settings(_activation, alone=("ReLU", None), with_He_initialization=("ReLU", _HE))),
    Remedy("tanh", _settings(_activation, alone=("Tanh", None), with_Xavier_initialization=("Tanh", _XAVIER))),
    Remedy(
        "batch normalisation",
        _settings(_normalized, before_activations=(before_activations,), after_activations=(after_activations,)),
    ),
    Remedy(
        "initialization",
        tuple(
            Setting(name, partial(_initialized, weight))
            for name, weight in (("He", _HE), ("Xavier", _XAVIER), ("orthogonal", _ORTHOGONAL))
        ),
    ),
    Remedy("residual", _settings(_residual, around_blocks=(False,), activation_first=(True,))),
    Remedy("dense", (Setting("all blocks", _dense),)),
    Remedy(
        "another loss",
        _settings(_other_loss, MSE=("MSELoss", None), Huber=("HuberLoss", "HuberLoss"), L1=(None, "L1Loss")),
    ),
    Remedy(
        "fewer layers",
        _settings(_fewer, half=(lambda now: now // 2,), two=(lambda _now: 2,), one=(lambda _now: 1,)),
    ),
)
"""Every remedy that the articles name, in the order in which the project's plan lists them."""
