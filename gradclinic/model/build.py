"""From a model of the spec to a network that can be trained: real, on the CPU, initialized, the same for a seed."""

from __future__ import annotations

import torch
from torch import nn

from gradclinic.contract.layers import AnyLayer, Layers
from gradclinic.contract.spec import Model
from gradclinic.errors import InvalidSpec
from gradclinic.model.combinators import COMBINATORS
from gradclinic.model.initialization import initialize
from gradclinic.model.layers import Misfit, Shape, fitted_keywords, is_frozen, make_module, own_init
from gradclinic.model.network import Chain, Network
from gradclinic.model.place import name_part
from gradclinic.model.resolver import Resolver

ANY_BATCH = 2
"""Shapes do not depend on the size of a batch; any will do to work them out."""


def build_model(model: Model, input_shape: tuple[int, ...], *, seed: int) -> nn.Module:
    """Build and initialize a network for batches of samples of `input_shape`, float32, on the CPU.

    The modules' names are the contract's names of the layers. PyTorch's global generator is left as it was.

    Raises:
        InvalidSpec: The layers do not fit together; `faults` lists every place.
    """
    resolver = Resolver(model, ANY_BATCH)
    resolution = resolver.resolve(input_shape)
    if resolution.faults:
        raise InvalidSpec(list(resolution.faults.values()))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU as well
        layers, _ = _Builder(model, resolver).layers(model.layers, input_shape)
    return Network(layers)


class _Builder:
    """Builds the layers in the order of the spec, which is the order in which they draw their weights."""

    def __init__(self, model: Model, resolver: Resolver) -> None:
        self._model = model
        self._resolver = resolver

    def layers(self, layers: Layers, shape: Shape) -> tuple[Chain, Shape]:
        modules: dict[str, nn.Module] = {}
        for index, layer in enumerate(layers):
            part = name_part(index, layer)
            if (combinator := COMBINATORS.get(layer.type)) is not None:
                built, shape = combinator.build(layer, part, shape, self.layers)
                modules.update(built)
            else:
                modules[part], shape = self._layer(layer, shape)
        return Chain(modules), shape

    def _layer(self, layer: AnyLayer, shape: Shape) -> tuple[nn.Module, Shape]:
        keywords, output = fitted_keywords(layer, shape), self._resolver.measure(layer, shape).output
        if isinstance(keywords, Misfit) or output is None:  # the resolver would have said so before
            raise AssertionError(f"A {layer.type} that was found right does not fit {shape}.")
        module = make_module(layer, keywords)
        initialize(module, own_init(layer) or self._model.init)
        if is_frozen(layer):
            module.requires_grad_(requires_grad=False)
        return module, output
