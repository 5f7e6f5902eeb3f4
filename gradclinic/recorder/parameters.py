"""The parameters of one optimizer: their gradients before its step, their weights before and after; and whose are which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradclinic.recorder.kernels import Kernel
from gradclinic.recorder.rows import Values
from gradclinic.recorder.schedule import Due


class ParameterWatch:
    """The parameters of one optimizer, and what was measured of them in the step that is on its way.

    Of the weights it holds one copy, in buffers that are made once, as soon as `update_ratio` or `weight_norm` is due.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], kernel: Kernel) -> None:
        self.names = tuple(parameters)
        self._parameters = list(parameters.values())
        self._kernel = kernel
        self.begin()

    def begin(self) -> None:
        """Forget the last step."""
        self.measured = False
        self.gradients: Values | None = None
        self._norms: Values | None = None

    def measure(self, due: Due, scale: Tensor | float | None = None) -> None:
        """Measure the gradients; a second call in a step does nothing.

        Args:
            due: What to measure.
            scale: What the loss was multiplied by, where the gradients still are.
        """
        if self.measured:
            return
        self.measured = True
        if not due.gradients:
            return
        rows = self._kernel.measure([p.grad for p in self._parameters], whole=due.whole)
        if scale is not None:
            # Shares and counts, the last two columns, are the same at every scale.
            if isinstance(rows, Tensor):
                rows[:, :4] /= torch.as_tensor(scale, dtype=torch.float64, device=rows.device)
            else:
                rows[:, :4] /= float(scale)
        self.gradients = rows

    def keep_weights(self, due: Due) -> None:
        """Keep the weights that the step starts from; a second call in a step does nothing."""
        if due.weights and self._norms is None:
            self._norms = self._kernel.keep(self._parameters)

    def weights(self) -> Values:
        """Return norm and update ratio (parameters, 2) of the weights, now that the step is done.

        The weights that no step was taken from, since the optimizer was not called, did not change.
        """
        norms = self._norms
        if norms is None:
            norms = self._kernel.keep(self._parameters)
        change = self._kernel.change(self._parameters)
        # A bias that starts at zero moves infinitely far by this measure; readers skip what is not finite.
        if isinstance(norms, Tensor) or isinstance(change, Tensor):
            return _ratios_of_tensors(torch.as_tensor(norms), torch.as_tensor(change))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where((norms == 0) & (change == 0), 0.0, change / norms)
        return np.stack([norms, ratios], axis=1)


def _ratios_of_tensors(norms: Tensor, change: Tensor) -> Tensor:
    still = (norms == 0) & (change == 0)
    return torch.stack([norms, torch.where(still, torch.zeros_like(norms), change / norms)], dim=1)


def by_optimizer(
    parameters: Mapping[str, nn.Parameter], optimizers: Sequence[Optimizer]
) -> list[dict[str, nn.Parameter]]:
    """Deal the parameters out to the optimizers that hold them: to the first of several, and to the last if to none."""
    owners: dict[int, int] = {}
    for place, optimizer in enumerate(optimizers):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                owners.setdefault(id(parameter), place)
    dealt: list[dict[str, nn.Parameter]] = [{} for _ in optimizers]
    for name, parameter in parameters.items():
        dealt[owners.get(id(parameter), -1)][name] = parameter
    return dealt


def strangers(parameters: Mapping[str, nn.Parameter], optimizers: Sequence[Optimizer]) -> Iterator[str]:
    """Yield a note on each optimizer that trains nothing of what is recorded."""
    known = {id(parameter) for parameter in parameters.values()}
    for optimizer in optimizers:
        if not any(id(parameter) in known for group in optimizer.param_groups for parameter in group["params"]):
            yield (
                f"The optimizer {type(optimizer).__name__} holds none of the model's parameters that are trained. Give the "
                "recorder the very model whose parameters the optimizer was made of, not a copy."
            )
