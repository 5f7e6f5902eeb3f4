"""The compiled passes over outputs, by type of element. Imported only where numba is installed and wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from numba import float64, int64, njit, void

from gradclinic.recorder.kernels import outputs_passes


@dataclass(frozen=True)
class OutputPasses:
    """Machine code for contiguous tensors in the CPU's memory; the functions say in `outputs_passes` what they do."""

    observe: Mapping[torch.dtype, Callable[..., None]]
    mark: Mapping[torch.dtype, Callable[..., None]]
    squares: Mapping[torch.dtype, Callable[[int, int], float]]
    close_units: Callable[[int, int, int, int, int], int]


@cache
def output_passes() -> OutputPasses:
    """Compile the passes, or take them from numba's cache on disk. Seconds the first time, a tenth of one later."""
    p = outputs_passes
    observe, mark, squares = void(*[int64] * 8), void(*[int64] * 6), float64(int64, int64)
    return OutputPasses(
        observe={
            torch.float32: _compile(p.observe_float32, observe),
            torch.float64: _compile(p.observe_float64, observe),
        },
        mark={torch.float32: _compile(p.mark_float32, mark), torch.float64: _compile(p.mark_float64, mark)},
        squares={
            torch.float32: _compile(p.squares_float32, squares),
            torch.float64: _compile(p.squares_float64, squares),
        },
        close_units=_compile(p.close_units, int64(*[int64] * 5)),
    )


def _compile(function: Callable[..., Any], signature: Any) -> Any:
    try:
        return njit(signature, cache=True)(function)
    except (RuntimeError, OSError):
        # There is no folder that numba could keep the machine code in; then each process compiles.
        return njit(signature)(function)
