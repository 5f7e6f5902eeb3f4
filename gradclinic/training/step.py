"""What one optimizer step is made of, for the training loop and for the short trainings beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradclinic.training.raised import torch_may_raise
from gradclinic.training.setup import Setup


@contextmanager
def reproducible(setup: Setup) -> Iterator[None]:
    """Seed what draws from the global generators, and leave them as they were."""
    device = torch.device(setup.spec.training.device)
    on_cuda = device.type == "cuda"
    was = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[device.index or 0] if on_cuda else []):
        # Dropout and its like draw from the global generator. torch.manual_seed would seed every GPU as well.
        torch.default_generator.manual_seed(setup.seed)
        if on_cuda:
            torch.cuda.manual_seed(setup.seed)
            # As far as PyTorch goes; what has no deterministic kernel warns.
            torch.use_deterministic_algorithms(mode=True, warn_only=True)
        try:
            yield
        finally:
            if on_cuda:
                torch.use_deterministic_algorithms(mode=was)


def compute_gradient(setup: Setup, inputs: Tensor, targets: Tensor) -> Tensor:
    """Leave the gradient of the loss in the parameters; return the loss of the data alone, without the L1 penalty.

    Raises:
        RaisedByTorch: PyTorch cannot take a value.
    """
    l1 = setup.spec.training.l1
    with torch_may_raise():
        setup.optimizer.zero_grad()
        loss: Tensor = setup.criterion(setup.network(inputs), targets)
        (loss + l1 * _l1_norm(setup.network) if l1 else loss).backward()  # type: ignore[no-untyped-call]  # PyTorch types it not
    return loss.detach()


def clip(setup: Setup) -> dict[str, Tensor]:
    """Clip as asked, and say as the signal `clipped` whether it changed anything; nothing where nothing was asked."""
    training = setup.spec.training
    if training.clip_grad_value is None and training.clip_grad_norm is None:
        return {}
    parameters = [p for p in setup.network.parameters() if p.grad is not None]
    # Tensors, which the recorder reads when it can: a number here would make the host wait for a device at each step.
    clipped = torch.zeros((), dtype=torch.bool)
    if (limit := training.clip_grad_value) is not None:
        largest = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], math.inf)
        clipped = ~(largest <= limit)  # also where one of them is NaN
        nn.utils.clip_grad_value_(parameters, limit)
    if (limit := training.clip_grad_norm) is not None:
        over = nn.utils.clip_grad_norm_(parameters, limit) > limit
        clipped = clipped.to(over.device) | over
    return {"clipped": clipped}


def _l1_norm(network: nn.Module) -> Tensor:
    """Return the sum of absolute values of all trained weights; biases and scales are not penalised."""
    weights = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    return torch.stack([weight.abs().sum() for weight in weights]).sum() if weights else torch.zeros(())
