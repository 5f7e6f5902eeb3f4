r"""Measurements that take a few passes of their own, beside the training: they draw nothing from its generators, leave no
gradient behind and change no buffer.

The gradient through time: its norm with respect to each element of a recurrent layer's input sequence (Pascanu et al. 2013).
The gradient noise scale :math:`B = tr(\Sigma) / |G|^2`, the batch at which noise and gradient are equally large (McCandlish
et al. 2018, arXiv 1812.06162, appendix A.1), from the gradients of several batches of one size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradclinic.training.raised import RaisedByTorch, torch_may_raise
from gradclinic.training.setup import Setup

BATCHES = 64
"""Batches that the noise is worked out from, at most.

Of noise k times the gradient a mean of n batches keeps k / n: what is to be told from ten times needs many more than ten. With 16
batches of one sample, five of twelve seeds gave no scale where it is 40; with 64 all are within three times of it.
"""

FEWEST = 2
"""Batches without which there is no difference to see."""

RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


def time_gains(setup: Setup) -> dict[str, float]:
    """Return, by the name of each recurrent layer, the gradient's norm at the first element over that at the last.

    A layer whose output's last element alone is used shows what is lost through time. Nothing for a layer whose gradient
    does not arrive at all, or where the network raises: the training will tell.
    """
    layers = {name: module for name, module in setup.network.named_modules() if _recurrent_in(module) is not None}
    if not layers:
        return {}
    inputs: dict[str, Tensor] = {}
    rows = torch.arange(min(len(setup.data.train), setup.spec.training.batch_size))
    with _apart(setup) as network, torch.random.fork_rng(devices=[]):
        modules = dict(network.named_modules())
        for name in layers:
            modules[name].register_forward_pre_hook(_keep(inputs, name))
        try:
            with torch_may_raise():
                part = setup.data.train
                loss = setup.criterion(network(part.inputs[rows]), part.targets[rows])
                found = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
        except RaisedByTorch:
            return {}
    gains = {name: _gain(gradient) for name, gradient in zip(inputs, found, strict=True)}
    return {name: gain for name, gain in gains.items() if gain is not None}


def noise_scale(setup: Setup) -> float | None:
    """Return the gradient noise scale in samples; None where it cannot be told: too few rows, or no finite gradient."""
    part, size = setup.data.train, setup.spec.training.batch_size
    # Never more than a tenth of what the training itself takes.
    count = min(BATCHES, len(part) // size, max(FEWEST, setup.steps // 10))
    if count < FEWEST:
        return None
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(setup.seed))
    squares = 0.0
    total: list[Tensor] = []
    with _apart(setup) as network, torch.random.fork_rng(devices=[]):
        parameters = [p for p in network.parameters() if p.requires_grad]
        try:
            for rows in order[: count * size].reshape(count, size):
                with torch_may_raise():
                    loss = setup.criterion(network(part.inputs[rows]), part.targets[rows])
                    found = torch.autograd.grad(loss, parameters, materialize_grads=True)
                squares += _square(found) / count
                # A running sum: of a large model there is no room for the gradients of all batches.
                total = [old + new for old, new in zip(total, found, strict=True)] if total else list(found)
        except RaisedByTorch:
            return None
    return _noise_scale(squares, _square(total) / count**2, count, size)


def _square(gradients: Sequence[Tensor]) -> float:
    return sum(float(torch.linalg.vector_norm(one, dtype=torch.float64)) ** 2 for one in gradients)


def _noise_scale(squares: float, of_mean: float, count: int, size: int) -> float | None:
    """Work the scale out of E|g|^2 over `count` batches of `size` and of |mean g|^2; both are biased by the noise."""
    # E|g|^2 = |G|^2 + tr(S)/size, E|mean g|^2 = |G|^2 + tr(S)/(size count).
    trace = size * (squares - of_mean) * count / (count - 1)
    gradient = of_mean - trace / (size * count)
    if not (squares > 0 and squares < float("inf")):
        return None
    return trace / gradient if gradient > 0 else float("inf")


@contextmanager
def _apart(setup: Setup) -> Iterator[nn.Module]:
    """Give a copy of the network in training mode, whose buffers may change."""
    network = copy.deepcopy(setup.network)
    network.train()
    with torch.enable_grad():
        yield network


def _recurrent_in(module: nn.Module) -> nn.Module | None:
    """Return the recurrent module that a layer is or wraps; None for all else."""
    return module if isinstance(module, RECURRENT) else None


def _keep(inputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Make a hook that keeps a layer's input, as one that gets a gradient."""

    def keep(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = arguments[0]
        inputs[name] = x if x.requires_grad else x.detach().requires_grad_()
        return (inputs[name], *arguments[1:])

    return keep


def _gain(gradient: Tensor) -> float | None:
    """Return |g[:, 0]| / |g[:, -1]| of a gradient (N, T, F)."""
    if gradient.dim() != 3 or gradient.shape[1] < 2:
        return None
    first, last = (torch.linalg.vector_norm(gradient[:, at].double()) for at in (0, -1))
    return float(first / last) if float(last) > 0 else None
