"""The compiled kernel: addresses of all tensors are gathered, and one call of machine code reads them.

It reads contiguous float32 and float64 tensors in the CPU's memory; whatever else is among them goes the torch way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.recorder.kernels import passes
from gradclinic.recorder.kernels.torch_only import TorchKernel

FloatArray = npt.NDArray[np.float64]

_MISSING = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)

# Bound once: each is called for every gradient of every step.
_address = Tensor.data_ptr
_is_contiguous = Tensor.is_contiguous
_bytes = attrgetter("nbytes")
_is_cpu = attrgetter("is_cpu")


@cache
def _compile(function: Callable[..., None]) -> Callable[..., None]:
    """Compile, and keep the machine code on disk for other processes where there is a place for it."""
    try:
        compiled: Callable[..., None] = numba.njit(cache=True)(function)
        _call_empty(compiled)
    except (RuntimeError, OSError):
        # No folder to write to: numba looks beside the module, then in the user's own cache. Then each process compiles.
        compiled = numba.njit(function)
        _call_empty(compiled)
    return compiled


def _call_empty(compiled: Callable[..., None]) -> None:
    """Call for no tensors with arguments of the types that will come, which makes numba compile."""
    places, flags, number = np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0)
    if compiled.__name__ == "measure":
        compiled(places, places, flags, False, np.empty((0, 6)))
    else:
        compiled(places, places, places, flags, False, number)


class CompiledKernel:
    """Reads each tensor once; see `gradclinic.recorder.kernels.Kernel`."""

    def __init__(self) -> None:
        self._measure = _compile(passes.measure)
        self._compare = _compile(passes.compare)
        self._torch = TorchKernel()
        self._layout = _Layout([])
        self._kept: list[Tensor] = []
        self._kept_at = np.empty(0, np.int64)

    def measure(self, gradients: Sequence[Tensor | None], *, whole: bool) -> FloatArray:
        """Return the statistics of each gradient (gradients, 6)."""
        rows = np.empty((len(gradients), 6))
        addresses = self._addresses(gradients)
        if addresses is not None:
            self._measure(addresses, self._layout.sizes, self._layout.wide, whole, rows)
            return rows
        rows[:] = _MISSING
        plain = [place for place, g in enumerate(gradients) if g is not None and _is_plain(g)]
        other = [place for place, g in enumerate(gradients) if g is not None and not _is_plain(g)]
        if plain:
            chosen: list[Tensor] = [gradients[place] for place in plain]  # type: ignore[misc]  # none is None
            layout, part = _Layout(chosen), np.empty((len(plain), 6))
            self._measure(np.array([_address(g) for g in chosen]), layout.sizes, layout.wide, whole, part)
            rows[plain] = part
        if other:
            rows[other] = self._torch.measure([gradients[place] for place in other], whole=whole).numpy(force=True)
        return rows

    def keep(self, weights: Sequence[Tensor]) -> FloatArray:
        """Copy the weights, and return their norms."""
        addresses = self._addresses(weights)
        if addresses is None:
            self._kept = []
            return self._torch.keep(weights).numpy(force=True)
        if list(map(_bytes, self._kept)) != self._layout.bytes:
            self._kept = [torch.empty_like(weight, requires_grad=False) for weight in weights]
            self._kept_at = np.array(list(map(_address, self._kept)), np.int64)
        norms = np.empty(len(weights))
        self._compare(addresses, self._kept_at, self._layout.sizes, self._layout.wide, True, norms)
        return norms

    def change(self, weights: Sequence[Tensor]) -> FloatArray:
        """Return the norms of the differences from what was kept."""
        addresses = self._addresses(weights) if self._kept else None
        if addresses is None or list(map(_bytes, self._kept)) != self._layout.bytes:
            return self._torch.change(weights).numpy(force=True)
        norms = np.empty(len(weights))
        self._compare(addresses, self._kept_at, self._layout.sizes, self._layout.wide, False, norms)
        return norms

    def _addresses(self, tensors: Sequence[Tensor | None]) -> npt.NDArray[np.int64] | None:
        """Return where the tensors lie, after checking that they lie there as the layout says; None where some do not.

        The checks are what keeps a wrong address from being read, and they are few because every step pays them.
        """
        try:
            if (
                list(map(_bytes, tensors)) == self._layout.bytes
                and all(map(_is_cpu, tensors))
                and all(map(_is_contiguous, tensors))  # type: ignore[arg-type]  # None raises, below
            ):
                return np.array(list(map(_address, tensors)), np.int64)  # type: ignore[arg-type]  # likewise
        except (AttributeError, TypeError, RuntimeError):
            return None  # a gradient is missing, or sparse
        if all(tensor is not None and _is_plain(tensor) for tensor in tensors):
            chosen: list[Tensor] = list(tensors)  # type: ignore[arg-type]  # none is None
            self._layout = _Layout(chosen)
            return np.array([_address(tensor) for tensor in chosen], np.int64)
        return None


class _Layout:
    """Of some tensors, the bytes and the number of elements of each, and whether it is float64."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.bytes: list[int] = [tensor.nbytes for tensor in tensors]
        self.sizes = np.array([tensor.numel() for tensor in tensors], np.int64)
        self.wide = np.array([tensor.dtype == torch.float64 for tensor in tensors], np.bool_)


def _is_plain(tensor: Any) -> bool:
    """Say whether a tensor can be read from its address on."""
    return bool(
        tensor.layout == torch.strided
        and tensor.is_cpu
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.is_contiguous()
        and not tensor.is_neg()
    )
