"""The compiled passes over outputs, by type of element. Imported only where numba is installed and wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch
from numba import float64, int64, njit, void

from gradclinic.recorder.kernels import outputs_passes


class ByType(dict[torch.dtype, Callable[..., Any] | None]):
    """One pass by type of element, compiled when it is first asked for; None for a type that it cannot read."""

    def __init__(self, single: Callable[..., Any], double: Callable[..., Any], signature: Any) -> None:
        super().__init__()
        self._of = {torch.float32: single, torch.float64: double}
        self._signature = signature

    def __missing__(self, element: torch.dtype) -> Callable[..., Any] | None:
        function = self._of.get(element)
        self[element] = compiled = None if function is None else _compile(function, self._signature)
        return compiled


class OutputPasses:
    """Machine code for contiguous tensors in the CPU's memory; the functions say in `outputs_passes` what they do.

    Compiling takes seconds the first time on a machine, a tenth of one later; so only what is needed is compiled.
    """

    def __init__(self) -> None:
        p = outputs_passes
        self.observe = ByType(p.observe_float32, p.observe_float64, void(*[int64] * 8))
        self.mark = ByType(p.mark_float32, p.mark_float64, void(*[int64] * 6))
        self.squares = ByType(p.squares_float32, p.squares_float64, float64(int64, int64))

    @cached_property
    def close_units(self) -> Callable[[int, int, int, int, int], int]:
        """The pass over units that ends a step."""
        close: Callable[[int, int, int, int, int], int] = _compile(outputs_passes.close_units, int64(*[int64] * 5))
        return close


@cache
def output_passes() -> OutputPasses:
    """Return the passes of this process."""
    return OutputPasses()


def _compile(function: Callable[..., Any], signature: Any) -> Any:
    try:
        return njit(signature, cache=True)(function)
    except (RuntimeError, OSError):
        # There is no folder that numba could keep the machine code in; then each process compiles.
        return njit(signature)(function)
