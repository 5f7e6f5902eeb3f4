"""Which steps a signal is recorded at. It follows from the step's number alone, never from a clock, so that the same
run gives the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType

from gradclinic.contract.training import (
    LAYER_SIGNALS,
    PARAMETER_SIGNALS,
    SIGNALS,
    LayerSignal,
    ParameterSignal,
    Signal,
)

GRADIENT_COLUMNS: tuple[ParameterSignal, ...] = (
    "grad_norm", "grad_max", "grad_mean", "grad_std", "grad_zero_fraction", "grad_nonfinite",
)  # fmt: skip
"""What a kernel measures of a gradient, in the order of its columns."""

CHEAP = frozenset({"grad_norm", "grad_nonfinite"})
"""Those of them that take one sum of squares."""

WEIGHT_COLUMNS: tuple[ParameterSignal, ...] = ("weight_norm", "update_ratio")
"""What is recorded of the weights, in the order of the columns."""

DENSE_STEPS = 10
"""Every signal that is recorded at all is recorded at each of the first steps: most trouble starts there."""

DEFAULT_SCHEDULE: Mapping[Signal, int] = MappingProxyType(
    {
        "grad_norm": 1,
        "grad_nonfinite": 1,
        "activation_grad_norm": 10,
        "grad_max": 10,
        "grad_mean": 10,
        "grad_std": 10,
        "grad_zero_fraction": 10,
        "activation_mean": 10,
        "activation_std": 10,
        "dead_fraction": 10,
        "saturated_fraction": 10,
        # These two need a copy of all weights, which costs more than all the rest.
        "weight_norm": 10,
        "update_ratio": 10,
    }
)
"""Steps between two records of a signal, of a model that is neither large nor made of small tensors."""

LARGE = 4_000_000
"""Trained elements from which on a model is large: its gradients are beyond the caches, and reading them is what costs."""

LARGE_SPARSER = 4
"""How much rarer the signals of a large model's parameters are; those of its layers are not."""

SMALL = 8_192
"""Elements in the average trained tensor under which a model is made of small ones: calling costs more than computing,
the recorder's calls as well as the training's own."""

SMALL_SPARSER = 4
"""How much rarer all signals of such a model are."""


def schedule_of(
    every: int = 1, signals: Mapping[Signal, int] | None = None, *, elements: int = 0, tensors: int = 0
) -> dict[Signal, int]:
    """Return the steps between two records of each signal; 0 for one that is left out.

    `every` multiplies the default of each signal, and so does what follows from the model's size; `signals` sets single
    ones, as they are. Measured in `docs/decisions/0007-schedules-follow-from-sizes.md`.

    Args:
        every: The factor asked for.
        signals: Steps between two records of single signals.
        elements: Numbers in all trained parameters.
        tensors: Trained parameters.

    Raises:
        ValueError: There is no such signal, or it cannot be recorded so often.
    """
    chosen = signals or {}
    _refuse_unknown(every, chosen)
    small = SMALL_SPARSER if elements < SMALL * tensors else 1
    large = LARGE_SPARSER if elements >= LARGE else 1
    return {
        signal: chosen.get(
            signal, DEFAULT_SCHEDULE[signal] * every * small * (large if signal in PARAMETER_SIGNALS else 1)
        )
        for signal in SIGNALS
    }


def _refuse_unknown(every: int, signals: Mapping[Signal, int]) -> None:
    if not isinstance(signals, Mapping):
        raise ValueError(  # noqa: TRY004 - of the same kind as the others
            f'signals is {signals!r}; expected the steps between two records of each: {{"activation_mean": 1}}.'
        )
    # A signal whose name is misspelt would be recorded as if nothing had been asked.
    if unknown := [str(name) for name in signals if name not in SIGNALS]:
        raise ValueError(f"No such signal: {', '.join(unknown)}. There are {', '.join(SIGNALS)}.")
    if not isinstance(every, Integral) or every < 1:
        raise ValueError(f"every is {every!r}; expected a whole number of at least 1, which multiplies every schedule.")
    for name, steps in signals.items():
        if not isinstance(steps, Integral) or steps < 0:
            raise ValueError(
                f"The signal {name} is asked for every {steps!r} steps; expected a whole number, 0 for never."
            )


def is_due(step: int, every: int) -> bool:
    """Say whether a signal that is recorded `every` so many steps is recorded at this one."""
    return every > 0 and (step < DENSE_STEPS or step % every == 0)


@dataclass(frozen=True)
class Due:
    """The signals that are due at a step, by what has to be done for them."""

    gradients: tuple[tuple[ParameterSignal, int], ...]
    """Those of gradients, each with its column in what a kernel measures."""
    whole: bool
    """Whether more of the gradients is due than their norms and what is not finite."""
    weights: tuple[tuple[ParameterSignal, int], ...]
    """Those of weights, each with its column: norms, ratios."""
    layers: frozenset[LayerSignal]


class Calendar:
    """Says what is due at each step; it is asked at every one, so it looks up and does not work out."""

    def __init__(self, schedule: Mapping[Signal, int]) -> None:
        self._schedule = dict(schedule)
        self._periods = tuple({every for every in schedule.values() if every > 0})
        self._known: dict[tuple[bool, ...], Due] = {}

    def at(self, step: int) -> Due:
        """Return what is due at this step."""
        key = tuple([is_due(step, every) for every in self._periods])
        due = self._known.get(key)
        if due is None:
            due = self._known[key] = self._work_out(step)
        return due

    def _work_out(self, step: int) -> Due:
        signals = {signal for signal, every in self._schedule.items() if is_due(step, every)}
        gradients = tuple((signal, place) for place, signal in enumerate(GRADIENT_COLUMNS) if signal in signals)
        return Due(
            gradients=gradients,
            whole=any(signal not in CHEAP for signal, _ in gradients),
            weights=tuple((signal, place) for place, signal in enumerate(WEIGHT_COLUMNS) if signal in signals),
            layers=frozenset(signal for signal in LAYER_SIGNALS if signal in signals),
        )
