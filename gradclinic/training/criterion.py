"""The loss of a spec as a function of outputs and targets, and what a predictor reaches that ignores its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradclinic.contract.loss import Loss

OF_CLASSES = frozenset({"CrossEntropyLoss", "NLLLoss"})
"""Losses of scores or log probabilities [N, C] against class indices [N]."""

ABSOLUTE = frozenset({"L1Loss", "HuberLoss", "SmoothL1Loss"})
"""Losses whose best constant is the median, at least far from it."""

TINY = 1e-6
"""A share that stands for 0 where a logarithm is taken."""


class Criterion:
    """The loss of a spec, with targets brought into the form that it wants.

    Outputs and targets, the batch first: class indices (N,) against scores (N, C); class indices (N, T) of sequences
    against scores (N, T, C), whose class dimension is moved to where PyTorch wants it; values of the outputs' shape.
    Class indices become floats of the outputs' shape where the loss is binary, or measures distances.
    """

    def __init__(self, spec: Loss) -> None:
        keywords = spec.model_dump(exclude={"type", "reduction"})
        for name in ("weight", "pos_weight"):
            if keywords.get(name) is not None:
                keywords[name] = torch.tensor(keywords[name], dtype=torch.float32)
        self.name = spec.type
        self.spec = spec
        # PyTorch warns of KLDivLoss's mean over all elements, which is what was asked for here.
        self._by_hand = spec.type == "KLDivLoss"
        reduction = "none" if self._by_hand else spec.reduction
        self._module: nn.Module = getattr(nn, spec.type)(reduction=reduction, **keywords)

    def to(self, device: torch.device) -> Criterion:
        """Move the weights of the loss to a device; returns itself."""
        self._module.to(device)
        return self

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        if self.name in OF_CLASSES:
            outputs, targets = outputs.movedim(-1, 1), self._as_classes(targets)
        elif not targets.is_floating_point():
            targets = targets.to(outputs.dtype).reshape(outputs.shape)
        loss: Tensor = self._module(outputs, targets)
        if self._by_hand:
            return loss.mean() if self.spec.reduction == "mean" else loss.sum()
        return loss

    def _as_classes(self, targets: Tensor) -> Tensor:
        """Return indices; CrossEntropyLoss takes vectors of shares as well, NLLLoss does not."""
        return targets.argmax(dim=-1) if self.name == "NLLLoss" and targets.is_floating_point() else targets

    def answers(self, outputs: Tensor) -> Tensor:
        """Return what the outputs say in the targets' own terms: a binary loss on logits means probabilities."""
        return torch.sigmoid(outputs) if self.name == "BCEWithLogitsLoss" else outputs


def trivial_output(criterion: Criterion, targets: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the output of `shape` (that of one sample) of the best predictor that ignores its input.

    The logarithm of the classes' shares for losses of classes (at each step, for sequences), the share for a binary one
    or its log odds, the median for an absolute error, else the mean; as far as `targets` (N, ...) tell.
    """
    if criterion.name in OF_CLASSES and not targets.is_floating_point():
        return _log_shares(nn.functional.one_hot(targets, max(shape[-1], int(targets.max()) + 1))[..., : shape[-1]])
    values = targets.to(torch.float32).reshape(len(targets), *shape)
    match criterion.name:
        case "CrossEntropyLoss" | "NLLLoss" | "KLDivLoss":
            return _log_shares(values)
        case "BCELoss":
            return values.mean(dim=0).clamp(TINY, 1 - TINY)
        case "BCEWithLogitsLoss":
            return torch.logit(values.mean(dim=0), eps=TINY)
        case "PoissonNLLLoss" if getattr(criterion.spec, "log_input", False):
            return values.mean(dim=0).clamp(min=TINY).log()
        case name if name in ABSOLUTE:
            return values.median(dim=0).values
        case _:
            return values.mean(dim=0)


def _log_shares(counts: Tensor) -> Tensor:
    """Return the logarithm of the mean over the first dimension.

    A class that never occurs gets half a sample, so that its score is low and still finite.
    """
    rows = len(counts)
    return torch.log(counts.sum(dim=0).to(torch.float32).clamp(min=0.5) / rows)
