"""The kernel of PyTorch's own operators: right on every device, for every type of number and every layout.

Everything is computed in float64 and stays on its device; nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradclinic.recorder.norms import dense


class TorchKernel:
    """Reads by torch operators, several a tensor; see `gradclinic.recorder.kernels.Kernel`."""

    def __init__(self, *, defer: bool = False) -> None:
        self._defer = defer
        self._kept: list[Tensor] = []

    @torch.no_grad()
    def measure(self, gradients: Sequence[Tensor | None], *, whole: bool) -> Tensor:
        """Return the statistics of each gradient (gradients, 6)."""
        if not gradients:
            return torch.empty(0, 6, dtype=torch.float64)
        if whole:
            return _joined([_missing() if g is None else _whole(g) for g in gradients])
        norms = _norms(gradients)
        if not self._defer and bool(torch.isfinite(norms).all()):
            # Looking costs less than counting, where looking is free: on the CPU.
            counts = torch.zeros_like(norms)
        else:
            counts = _joined([_zero() if g is None else _nonfinite(dense(g)) for g in gradients])
        zeros = torch.zeros_like(norms)
        return torch.stack([norms, zeros, zeros, zeros, zeros, counts], dim=1)

    @torch.no_grad()
    def keep(self, weights: Sequence[Tensor]) -> Tensor:
        """Copy the weights, and return their norms."""
        if not _fit(self._kept, weights):
            self._kept = [torch.empty_like(weight) for weight in weights]
        for kept, weight in zip(self._kept, weights, strict=True):
            kept.copy_(weight)
        return _joined([norm(_elements(weight)) for weight in weights])

    @torch.no_grad()
    def change(self, weights: Sequence[Tensor]) -> Tensor:
        """Return the norms of the differences from what was kept."""
        pairs = zip(weights, self._kept, strict=True)
        return _joined([norm(_elements(weight) - _elements(kept)) for weight, kept in pairs])


def _fit(kept: Sequence[Tensor], weights: Sequence[Tensor]) -> bool:
    return len(kept) == len(weights) and all(
        k.shape == w.shape and k.dtype == w.dtype and k.device == w.device for k, w in zip(kept, weights, strict=True)
    )


def _joined(rows: Sequence[Tensor]) -> Tensor:
    """Stack rows on the device of the first that is not on the CPU; the CPU never waits for a device here."""
    device = next((row.device for row in rows if row.device.type != "cpu"), torch.device("cpu"))
    return torch.stack([row.to(device, non_blocking=True) for row in rows])


def _elements(tensor: Tensor) -> Tensor:
    """Return the elements (n,) that a tensor holds in float64; a complex one holds two real ones."""
    held = dense(tensor.detach())
    return (torch.view_as_real(held) if held.is_complex() else held).reshape(-1).double()


def norm(x: Tensor) -> Tensor:
    """Return the L2 norm of float64 elements (n,), scaled so that no square leaves float64."""
    if x.numel() == 0:
        return x.new_zeros(())
    scale = x.abs().max()
    # Of nothing but zeros, and of what holds NaN or infinity, the plain norm is right.
    scale = torch.where(torch.isfinite(scale) & (scale > 0), scale, torch.ones_like(scale))
    scaled: Tensor = torch.linalg.vector_norm(x / scale) * scale
    return scaled


def _norms(gradients: Sequence[Tensor | None]) -> Tensor:
    """Return the norm of each gradient (gradients,); 0 where there is none."""
    norms = [_zero()] * len(gradients)
    together: dict[torch.device, list[int]] = {}
    for place, gradient in enumerate(gradients):
        if gradient is None:
            continue
        if gradient.layout == torch.strided and gradient.dtype in _NARROW:
            together.setdefault(gradient.device, []).append(place)
        else:
            norms[place] = norm(_elements(gradient))
    for places in together.values():
        # One call for all tensors. PyTorch's own clipping uses this function; it has no public name.
        found = torch._foreach_norm([gradients[place] for place in places], 2, dtype=torch.float64)  # type: ignore[misc]  # noqa: SLF001 - see above; none is None
        for place, value in zip(places, found, strict=True):
            norms[place] = value
    return _joined(norms)


_NARROW = (torch.float32, torch.float16, torch.bfloat16)
"""Types whose squares are within float64, so that nothing has to be scaled."""


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


def _missing() -> Tensor:
    return torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64)


def _nonfinite(x: Tensor) -> Tensor:
    # x - x is 0 of a finite number and NaN, which is not 0, of any other: two operators where isfinite() takes four.
    return torch.count_nonzero(x - x).double()


def _whole(gradient: Tensor) -> Tensor:
    x = _elements(gradient)
    # A sparse gradient holds only some of its elements; the others are 0.
    held, n = x.numel(), gradient.numel() * (2 if gradient.is_complex() else 1)
    if held == 0:
        return _missing().to(x.device) if n else x.new_zeros(6)
    largest = x.abs().max()
    scale = torch.where(torch.isfinite(largest) & (largest > 0), largest, torch.ones_like(largest))
    # The mean apart: where an element is infinite var_mean() has none.
    variance, mean = torch.var(x / scale, correction=0), torch.mean(x / scale)
    whole_mean = mean * (held / n)
    spread = held * (variance + (mean - whole_mean) ** 2) + (n - held) * whole_mean**2
    zeros = (n - torch.count_nonzero(x)).double() / n
    statistics = [norm(x), largest, whole_mean * scale, torch.sqrt(spread / n) * scale, zeros, _nonfinite(x)]
    return torch.stack(statistics)
