"""What a rule has to say of its symptom in a made-up history, and the symptoms that several rules are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradclinic.contract.diagnosis import Evidence, RuleId, Severity
from gradclinic.history import History, LayerFacts
from tests.gradclinic.diagnosis.rules.histories import (
    LAYERS,
    LOSSES,
    STEPS,
    TRIVIAL_LOSS,
    Level,
    course,
    each,
    history,
    outcome,
    whole,
)

SPOKEN: dict[Level, Severity | None] = {"failed": "critical", "harmed": "warning", "well": "info"}
UNSPOKEN: dict[Level, Severity | None] = {"failed": "critical", "harmed": "warning", "well": None}

T = np.arange(STEPS)
LAYER_NAMES = ("one", "between", "two")


@dataclass(frozen=True)
class Symptom:
    """One way in which a rule fires.

    `severities` by how well it learned, None where it is silent; `silenced` are overrides of one threshold each that take the
    finding back; `silent` are histories, by the reason, on which the documentation promises silence.
    """

    rule: RuleId
    make: Callable[[Level], History]
    evidence: Mapping[str, float]
    severities: Mapping[Level, Severity | None] = field(default_factory=lambda: SPOKEN)
    first_step: int = 0
    layers: tuple[str, ...] = ()
    silenced: Mapping[str, float] = field(default_factory=dict)
    silent: Mapping[str, Callable[[], History]] = field(default_factory=dict)


def arriving(*norms: Any) -> Any:
    """The gradient's norm at the output of each layer."""
    return {"activation_grad_norm": each(LAYER_NAMES, *norms)}


def after(step: int, value: float, before: float) -> Any:
    return np.where(step <= T, value, before)


def ending_with(kind: str) -> list[LayerFacts]:
    return [*LAYERS, LayerFacts(name="end", type=kind)]


def recurrent(gain: float) -> list[LayerFacts]:
    return [LayerFacts(name="cell", type="RNN", parameters=["cell.weight_ih_l0"], time_gain=gain), LAYERS[2]]


def swinging(level: Level, size: float = 0.5, period: int = 2) -> Any:
    """A loss that goes to and fro, and back every so many steps."""
    return {"loss": whole(course(level) + size * LOSSES[level] * np.cos(2 * np.pi * T / period))}


def jumping(level: Level) -> Any:
    """A loss that is six times as high on two steps of each ten, drawn at random: no regular swing."""
    tens = np.random.default_rng(0).permuted(np.tile([3.0] * 2 + [0.5] * 8, (STEPS // 10, 1)), axis=1)
    return {"loss": whole(LOSSES[level] * tens.ravel())}


def falling(level: Level, to: float = 0.5) -> Any:
    """A loss that falls all the time, to a share of where it began, and ends where the level does."""
    return {"loss": whole(np.geomspace(LOSSES[level] / to, LOSSES[level], STEPS)), "val_loss": None}


def best_at(step: int, best: float, last: float) -> Any:
    """A validation loss with its minimum at a step."""
    return {"val_loss": whole(np.interp(T, [0, step, STEPS - 1], [TRIVIAL_LOSS, best, last]))}


def overfit(level: Level, **more: Any) -> History:
    ended = outcome(level, train_loss=0.1, val_loss=1.2, **more)
    return history(
        level, {**best_at(40, 0.6, 1.2), "loss": whole(np.linspace(TRIVIAL_LOSS, 0.1, STEPS))}, outcome=ended
    )


def later(losses: Any) -> float:
    """The mean of the last fifth over that of the one before, by its definition."""
    return 1 - float(np.mean(losses[80:]) / np.mean(losses[60:80]))


def swing(losses: Any) -> dict[str, float]:
    """How wide the second half swings around its line, and how far that is like itself some steps before; by the definitions."""
    late = np.asarray(losses)[STEPS // 2 :]
    at = np.arange(len(late))
    around = late - np.polyval(np.polyfit(at, late, 1), at)
    alike = [
        sum(around[lag:] * around[:-lag]) / (sum(around[lag:] ** 2) * sum(around[:-lag] ** 2)) ** 0.5
        for lag in range(1, len(late) // 3 + 1)
    ]
    return {
        "loss_swing": float(np.std(around) / np.mean(late)),
        "loss_autocorrelation": float(min(max(alike[1:]), -min(alike))),
    }


def evidence_of(found: list[Evidence]) -> dict[str, float | None]:
    """The first number of each signal."""
    return {one.signal: one.value for one in reversed(found)}
