"""The loss of a spec as a function of outputs and targets, and what a predictor reaches that ignores its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradclinic.contract.loss import Loss
from gradclinic.training.data import Part


class Criterion:
    """The loss of a spec, with targets brought into the form that it wants.

    Class indices (N,) become floats of the output's shape where the loss is binary, or measures distances.
    """

    def __init__(self, spec: Loss) -> None:
        keywords = spec.model_dump(exclude={"type"})
        for name in ("weight", "pos_weight"):
            if keywords.get(name) is not None:
                keywords[name] = torch.tensor(keywords[name], dtype=torch.float32)
        self.name = spec.type
        self._module: nn.Module = getattr(nn, spec.type)(**keywords)
        self._wants_indices = spec.type == "CrossEntropyLoss"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of outputs (N, ...) against targets (N,) or (N, targets)."""
        if not self._wants_indices and targets.dtype == torch.int64:
            targets = targets.to(outputs.dtype).reshape(outputs.shape)
        loss: Tensor = self._module(outputs, targets)
        return loss

    def answers(self, outputs: Tensor) -> Tensor:
        """Return what the outputs say in the targets' own terms: a binary loss on logits means probabilities."""
        return torch.sigmoid(outputs) if self.name == "BCEWithLogitsLoss" else outputs


def trivial_output(criterion: Criterion, part: Part, classes: int | None, width: int) -> Tensor:
    """Return the output (width,) of the best predictor that ignores its input, as far as `part` tells.

    The logarithm of the classes' shares for cross entropy, the log odds for a binary one, the median for an absolute
    error, else the mean.
    """
    targets = part.targets
    if criterion.name == "CrossEntropyLoss":
        counts = torch.bincount(targets, minlength=max(width, classes or 0))[:width].to(torch.float32)
        # A class that never occurs gets half a sample, so that its score is low and still finite.
        return torch.log(counts.clamp(min=0.5) / len(targets))
    values = targets.to(torch.float32).reshape(len(targets), -1)
    if criterion.name == "BCEWithLogitsLoss":
        share = values.mean(dim=0).clamp(1e-6, 1 - 1e-6)
        return torch.log(share / (1 - share)).expand(width)
    middle = values.median(dim=0).values if criterion.name in ("L1Loss", "HuberLoss") else values.mean(dim=0)
    return middle.expand(width)
