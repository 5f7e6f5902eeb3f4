"""Early stopping: whether a training still gets better, and the weights of its best evaluation."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import nn

from gradclinic.contract.training import HIGHER_IS_BETTER, EarlyStopping


class Stopper:
    """Counts evaluations without improvement, as `EarlyStopping` asks; without one it never stops."""

    def __init__(self, spec: EarlyStopping | None, network: nn.Module) -> None:
        self._spec = spec
        self._network = network
        self._best = math.inf
        self._without_improvement = 0
        self._weights: dict[str, Any] | None = None

    def is_over(self, values: dict[str, float]) -> bool:
        """Take in an evaluation, and say whether the training ends with it."""
        if self._spec is None:
            return False
        value = values[self._spec.monitor]
        score = -value if HIGHER_IS_BETTER.get(self._spec.monitor) else value
        if score < self._best - self._spec.min_delta:  # never true of NaN
            self._best, self._without_improvement = score, 0
            if self._spec.restore_best:
                self._weights = copy.deepcopy(self._network.state_dict())
        else:
            self._without_improvement += 1
        return self._without_improvement >= max(1, self._spec.patience)

    def restore(self) -> bool:
        """Put the weights of the best evaluation back, where that was asked for; say whether it was done."""
        if self._weights is None:
            return False
        self._network.load_state_dict(self._weights)
        return True
