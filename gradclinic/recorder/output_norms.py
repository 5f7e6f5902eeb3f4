"""The norms of output gradients over a step: as numbers at once, or deferred, as scalars on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gradclinic.recorder.kernels.outputs_torch import gradient_norm
from gradclinic.recorder.tallies import NONE_COMPILED, FloatArray

if TYPE_CHECKING:
    from gradclinic.recorder.kernels.outputs_compiled import OutputPasses


class HostNorms:
    """Norms of output gradients, as numbers. Not of the watch, which no graph has to keep alive."""

    def __init__(self, layers: int, passes: OutputPasses | None) -> None:
        self.is_open = False
        self._squares = [0.0] * layers
        self._passes = passes.squares if passes is not None else NONE_COMPILED

    def hook(self, place: int) -> Callable[[Tensor], None]:
        """Make the hook that adds a gradient of the layer at that place."""
        passes, squares = self._passes, self._squares

        def add(gradient: Tensor) -> None:
            if not self.is_open:
                return
            compiled = passes[gradient.dtype]
            strided = gradient.layout is torch.strided  # a sparse one cannot be asked the rest
            if compiled is not None and strided and gradient.is_cpu and gradient.is_contiguous():
                squares[place] += compiled(gradient.data_ptr(), gradient.numel())
            else:
                norm = gradient_norm(gradient.detach()).item()
                squares[place] += norm * norm  # which is infinite where ** would raise

        return add

    def row(self) -> FloatArray:
        """Return the norm (layers,) of each layer's gradients."""
        norms: FloatArray = np.sqrt(np.array(self._squares, np.float64))
        return norms

    def forget(self) -> None:
        """Begin a step."""
        self._squares[:] = [0.0] * len(self._squares)


class DeferredNorms:
    """Norms of output gradients, as scalars on the device."""

    def __init__(self, layers: int, device: torch.device) -> None:
        self.is_open = False
        self._norms: list[list[Tensor]] = [[] for _ in range(layers)]
        self._zero = torch.zeros((), dtype=torch.float64, device=device)

    def hook(self, place: int) -> Callable[[Tensor], None]:
        """Make the hook that adds a gradient of the layer at that place."""
        norms = self._norms[place]

        def add(gradient: Tensor) -> None:
            if self.is_open:
                norms.append(gradient_norm(gradient.detach()))

        return add

    def row(self) -> Tensor:
        """Return the norm (layers,) of each layer's gradients."""
        return torch.stack([self._joined(norms) for norms in self._norms])

    def _joined(self, norms: Sequence[Tensor]) -> Tensor:
        if not norms:
            return self._zero
        here = [norm.to(self._zero.device) for norm in norms]
        joined: Tensor = here[0] if len(here) == 1 else torch.linalg.vector_norm(torch.stack(here))
        return joined

    def forget(self) -> None:
        """Begin a step."""
        for norms in self._norms:
            norms.clear()
