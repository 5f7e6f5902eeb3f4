"""The loss of a spec as a function of outputs and targets, and what a predictor reaches that ignores its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradclinic.contract.loss import Loss

OF_CLASSES = frozenset({"CrossEntropyLoss", "NLLLoss"})
"""Losses of scores or log probabilities [N, C] against class indices [N]."""

ABSOLUTE = frozenset({"L1Loss", "HuberLoss", "SmoothL1Loss"})
"""Losses whose best constant is the median, at least far from it."""

SEARCH_STEPS = 50
"""Steps of a search for the best constant; a convex loss of a few numbers takes about ten."""

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
        """Return what the outputs say in the targets' own terms: logits mean probabilities, logarithms what they are of."""
        if self.name == "BCEWithLogitsLoss":
            return torch.sigmoid(outputs)
        of_logarithms = self.name == "PoissonNLLLoss" and getattr(self.spec, "log_input", False)
        of_logarithms |= self.name == "KLDivLoss" and not getattr(self.spec, "log_target", False)
        return outputs.exp() if of_logarithms else outputs


def trivial_output(criterion: Criterion, targets: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the output of `shape` (that of one sample) of the best predictor that ignores its input.

    The logarithm of the classes' shares for losses of classes (at each step, for sequences), the share for a binary one
    or its log odds, the median for an absolute error, else the mean; as far as `targets` (N, ...) tell. Where the loss
    weighs classes or the like, that is where a search begins: these losses are convex.
    """
    start = _plain_constant(criterion, targets, shape)
    return _searched(criterion, targets, start) if _weighs(criterion) else start


def _plain_constant(criterion: Criterion, targets: Tensor, shape: tuple[int, ...]) -> Tensor:
    if criterion.name in OF_CLASSES and not targets.is_floating_point():
        return _log_shares(_class_counts(targets, shape[-1]), len(targets))
    values = targets.to(torch.float32).reshape(len(targets), *shape)
    match criterion.name:
        case "KLDivLoss" if getattr(criterion.spec, "log_target", False):
            return values.exp().mean(dim=0).clamp(min=TINY).log()
        case "CrossEntropyLoss" | "NLLLoss" | "KLDivLoss":
            return _log_shares(values.sum(dim=0), len(values))
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


def _class_counts(targets: Tensor, classes: int) -> Tensor:
    """Count the classes of targets (N,) or, at each step, (N, T); indices that are no class count for nothing."""
    if targets.dim() > 1:
        return torch.stack([_class_counts(column, classes) for column in targets.unbind(dim=1)])
    return torch.bincount(targets[(targets >= 0) & (targets < classes)], minlength=classes)


def _log_shares(counts: Tensor, rows: int) -> Tensor:
    """Return the logarithm of the classes' shares.

    A class that never occurs gets half a sample, so that its score is low and still finite.
    """
    return torch.log(counts.to(torch.float32).clamp(min=0.5) / rows)


def _weighs(criterion: Criterion) -> bool:
    """Whether the best constant is another one than the plain: by weights, smoothing, or a loss between two others."""
    spec = criterion.spec
    return (
        criterion.name in ("HuberLoss", "SmoothL1Loss")
        or getattr(spec, "weight", None) is not None
        or getattr(spec, "pos_weight", None) is not None
        or getattr(spec, "label_smoothing", 0.0) > 0
        or getattr(spec, "ignore_index", -1) >= 0
    )


@torch.enable_grad()
def _searched(criterion: Criterion, targets: Tensor, start: Tensor) -> Tensor:
    """Return the constant with the smallest loss, searched for from `start`; `start` itself where that finds no better."""
    constant = start.clone().requires_grad_()
    search = torch.optim.LBFGS([constant], max_iter=SEARCH_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = criterion(constant.expand(len(targets), *constant.shape), targets) / scale
        value.backward()  # type: ignore[no-untyped-call]  # PyTorch types it not
        return value

    with torch.no_grad():
        before = criterion(start.expand(len(targets), *start.shape), targets)
    scale = before.abs().clamp(min=TINY)  # a sum over a million rows would be all slope
    search.step(loss)  # type: ignore[no-untyped-call]  # likewise
    found = constant.detach()
    with torch.no_grad():
        after = criterion(found.expand(len(targets), *found.shape), targets)
    return found if bool(after < before) else start
