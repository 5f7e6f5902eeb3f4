"""What others offer for watching gradients, each used as its documentation shows, at every step.

They record different things: histograms, norms, or a dozen numbers. They are imported only where they are used, from the
benchmarks' own virtual environment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models import Training
from benchmarks.watchers import Attach, Watch

SATURATED = 0.95
"""A share of an output's largest size beyond which the naive loop calls a unit saturated."""


@contextmanager
def wandb_watch(training: Training) -> Iterator[Watch]:
    """`wandb.watch` with `log_freq=1`: a histogram of each gradient, every step, written to an offline run."""
    os.environ["WANDB_SILENT"] = "true"
    wandb = import_module("wandb")
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as folder:
        wandb.init(project="benchmark", dir=folder, mode="offline", reinit="finish_previous")
        try:
            wandb.watch(training.model, log="gradients", log_freq=1)
            yield Watch(after_update=lambda loss: wandb.log({"loss": loss.item()}))
            wandb.unwatch(training.model)
        finally:
            wandb.finish()


@contextmanager
def tensorboard_histograms(training: Training) -> Iterator[Watch]:
    """TensorBoard's `add_histogram` of each gradient, every step, written to a file."""
    tensorboard = import_module("torch.utils.tensorboard")
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as folder, tensorboard.SummaryWriter(folder) as writer:

        def write() -> None:
            for name, parameter in training.model.named_parameters():
                if parameter.grad is not None:
                    writer.add_histogram(name, parameter.grad, training.steps)

        yield Watch(before_update=write)


@contextmanager
def lightning_grad_norm(training: Training) -> Iterator[Watch]:
    """Lightning's `grad_norm`: the L2 norm of each gradient, every step, kept as tensors and written nowhere."""
    grad_norm = import_module("lightning.pytorch.utilities").grad_norm
    yield Watch(before_update=lambda: grad_norm(training.model, norm_type=2))


@contextmanager
def naive_loop(training: Training) -> Iterator[Watch]:
    """Record the contract's statistics the way one writes them first: operator by operator, `.item()` by `.item()`."""
    numbers: list[float] = []
    weights: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(_naive_output(numbers))
        for module in training.model.modules()
        if next(module.children(), None) is None
    ]

    def before() -> None:
        numbers.clear()  # it costs time here, no memory
        for name, parameter in training.model.named_parameters():
            weights[name] = parameter.detach().clone()
            if parameter.grad is not None:
                numbers.extend(_naive_gradient(parameter.grad))

    def after(loss: Tensor) -> None:
        numbers.append(loss.item())
        for name, parameter in training.model.named_parameters():
            norm = weights[name].norm().item()
            change = (parameter.detach() - weights[name]).norm().item()
            numbers.extend((norm, change / norm if norm else 0.0))

    try:
        yield Watch(before_update=before, after_update=after)
    finally:
        for handle in handles:
            handle.remove()


def _naive_gradient(gradient: Tensor) -> tuple[float, ...]:
    return (
        gradient.norm().item(),
        gradient.abs().max().item(),
        gradient.mean().item(),
        gradient.std().item(),
        (gradient == 0).float().mean().item(),
        (~torch.isfinite(gradient)).sum().item(),
    )


def _naive_output(numbers: list[float]) -> Callable[[nn.Module, Any, Any], None]:
    def measure(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        found = output.detach()
        size = found.abs()
        numbers.extend((found.mean().item(), found.std().item(), (found == 0).float().mean().item()))
        numbers.append((size > SATURATED * size.max()).float().mean().item())
        if output.requires_grad:
            output.register_hook(lambda gradient: numbers.append(gradient.norm().item()))  # type: ignore[no-untyped-call]  # PyTorch types it not

    return measure


RIVALS: dict[str, Attach] = {
    "wandb.watch, every step": wandb_watch,
    "TensorBoard histograms, every step": tensorboard_histograms,
    "Lightning grad_norm, every step": lightning_grad_norm,
    "naive .item() loop, every step": naive_loop,
}
