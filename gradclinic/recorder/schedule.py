"""Which steps a signal is recorded at. It follows from the step's number alone, never from a clock, so that the same
run gives the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gradclinic.contract.training import SIGNALS, Signal

DENSE_STEPS = 10
"""Every signal that is recorded at all is recorded at each of the first steps: most trouble starts there."""

DEFAULT_SCHEDULE: Mapping[Signal, int] = MappingProxyType(
    {
        "grad_norm": 1,
        "grad_nonfinite": 1,
        "activation_grad_norm": 1,
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
"""Steps between two records of a signal."""


def schedule_of(every: int = 1, signals: Mapping[Signal, int] | None = None) -> dict[Signal, int]:
    """Return the steps between two records of each signal; 0 for one that is left out.

    `every` multiplies the default of each signal; `signals` sets single ones, as they are.
    """
    chosen = signals or {}
    return {signal: chosen.get(signal, DEFAULT_SCHEDULE[signal] * every) for signal in SIGNALS}


def is_due(step: int, every: int) -> bool:
    """Say whether a signal that is recorded `every` so many steps is recorded at this one."""
    return every > 0 and (step < DENSE_STEPS or step % every == 0)
