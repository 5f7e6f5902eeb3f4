"""The modules that hold layers. A network of ours is one `Network`; the names of its modules are the contract's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


class Chain(nn.Module):
    """Layers one after the other, each under the last part of its name.

    `nn.Sequential` would do, did it not refuse a child called like one of its own attributes: a layer may be named
    `forward` or `training`. So the children are put where PyTorch keeps them, past that check. `get_submodule` finds
    attributes first and fails on such a name; `named_modules` and `named_parameters` are right for every name.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(layers)
        # The layers with those of all groups among them in one row. Passing x through group after group costs two
        # calls of a module a turn: 6 % of a training step of twenty turns of Linear(64) and Sigmoid, measured.
        self._row = tuple(_row(layers.values()))

    def __setattr__(self, name: str, value: object) -> None:
        # PyTorch's own refuses to set an attribute that a child is named like, and `train()` sets `training`. Nothing
        # but plain attributes is ever set on a chain, so plain setting is all it needs.
        object.__setattr__(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Pass x (N, ...) through the layers. Groups are not called, so hooks belong on the layers inside them."""
        for layer in self._row:
            x = layer(x)
        return x


class Group(nn.Module):
    """A `Sequential` of the spec, or one turn of a `Repeat`: it gives names, and computes nothing itself."""

    def __init__(self, layers: Chain) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Pass x (N, ...) through the layers."""
        y: Tensor = self.layers(x)
        return y


class Residual(nn.Module):
    """x + f(x), or shortcut(x) + f(x), of equal shapes. He et al. 2016, https://arxiv.org/abs/1512.03385."""

    def __init__(self, layers: Chain, shortcut: Chain | None = None) -> None:
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut
        self._overwrites = _overwrites(self)

    def forward(self, x: Tensor) -> Tensor:
        """Add f(x) to x (N, ...), or to its projection."""
        carried = x if self.shortcut is None else self.shortcut(_own(x, self._overwrites))
        y: Tensor = carried + self.layers(_own(x, self._overwrites))
        return y


class Dense(nn.Module):
    """One block of a `Dense`: x beside f(x). Huang et al. 2017, https://arxiv.org/abs/1608.06993."""

    def __init__(self, layers: Chain, dim: int) -> None:
        super().__init__()
        self.layers = layers
        self.dim = dim
        self._overwrites = _overwrites(self)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate f(x) to x (N, ...)."""
        return torch.cat([x, self.layers(_own(x, self._overwrites))], dim=self.dim)


class Parallel(nn.Module):
    """Branches over the same input, concatenated along `dim`, or added where it is None."""

    def __init__(self, branches: Sequence[Chain], dim: int | None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.dim = dim
        self._overwrites = _overwrites(self)

    def forward(self, x: Tensor) -> Tensor:
        """Pass x (N, ...) through every branch, and join what they give."""
        outputs: list[Tensor] = [branch(_own(x, self._overwrites)) for branch in self.branches]
        if self.dim is not None:
            return torch.cat(outputs, dim=self.dim)
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total


class Network(nn.Module):
    """A model of the spec: one child, `layers`, so that every name starts with it."""

    def __init__(self, layers: Chain) -> None:
        super().__init__()
        self.layers = layers
        self._overwrites = _overwrites(self)

    def forward(self, x: Tensor) -> Tensor:
        """Pass a batch x (N, ...) through the model; x itself is left as it is."""
        # A first layer that works in place would change the data, for every later step as well.
        y: Tensor = self.layers(_own(x, self._overwrites))
        return y


def _overwrites(module: nn.Module) -> bool:
    """Tell whether any layer inside works in place, and so might overwrite the input."""
    return any(getattr(inner, "inplace", False) for inner in module.modules())


def _own(x: Tensor, overwritten: bool) -> Tensor:
    """Return x, or a copy that may be overwritten while x is still needed."""
    return x.clone() if overwritten else x


def _row(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield the modules that compute, those of the groups in their places."""
    for layer in layers:
        if isinstance(layer, Group):
            yield from _row(layer.layers.children())
        else:
            yield layer
