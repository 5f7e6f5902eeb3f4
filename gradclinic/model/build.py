"""From a model of the spec to a network that can be trained: real, on the CPU, initialized, the same for a seed."""

from __future__ import annotations

import torch
from torch import nn

from gradclinic.contract.layers import AnyLayer, Layers
from gradclinic.contract.spec import GraphModel, Model
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files
from gradclinic.model.combinators import COMBINATORS
from gradclinic.model.fits import Misfit
from gradclinic.model.graph import build_graph_model
from gradclinic.model.initialization import initialize
from gradclinic.model.layers import fitted_keywords, is_frozen, make_module, own_init, takes_tokens
from gradclinic.model.network import Chain, Network
from gradclinic.model.place import name_part
from gradclinic.model.resolver import Resolver
from gradclinic.model.sample import Sample

ANY_BATCH = 2
"""Shapes do not depend on the size of a batch; any will do to work them out."""


def build_model(
    model: Model | GraphModel,
    input_shape: tuple[int, ...],
    *,
    seed: int,
    integers: bool = False,
    files: Files | None = None,
) -> nn.Module:
    """Build and initialize a network for batches of samples of `input_shape`, float32, on the CPU.

    `integers` says that the data's inputs are whole numbers; the network takes them as int64 if `takes_tokens(model)`.
    `files` finds the artifact of a graph, which brings its weights.
    The modules' names are the contract's names of the layers. PyTorch's global generator is left as it was.

    Raises:
        InvalidSpec: The layers do not fit together; `faults` lists every place.
    """
    if isinstance(model, GraphModel):
        return build_graph_model(model, files, seed=seed)
    resolver = Resolver(model, ANY_BATCH)
    sample = Sample(input_shape, integers and takes_tokens(model))
    resolution = resolver.resolve(sample)
    if resolution.faults:
        raise InvalidSpec(list(resolution.faults.values()))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU as well
        layers, _ = _Builder(model, resolver).layers(model.layers, sample)
    return Network(layers)


class _Builder:
    """Builds the layers in the order of the spec, which is the order in which they draw their weights."""

    def __init__(self, model: Model, resolver: Resolver) -> None:
        self._model = model
        self._resolver = resolver

    def layers(self, layers: Layers, sample: Sample) -> tuple[Chain, Sample]:
        modules: dict[str, nn.Module] = {}
        for index, layer in enumerate(layers):
            part = name_part(index, layer)
            if (combinator := COMBINATORS.get(layer.type)) is not None:
                built, sample = combinator.build(layer, part, sample, self.layers)
                modules.update(built)
            else:
                modules[part], sample = self._layer(layer, sample)
        return Chain(modules), sample

    def _layer(self, layer: AnyLayer, sample: Sample) -> tuple[nn.Module, Sample]:
        keywords, output = fitted_keywords(layer, sample), self._resolver.measure(layer, sample).output
        if isinstance(keywords, Misfit) or output is None:  # the resolver would have said so before
            raise AssertionError(f"A {layer.type} that was found right does not fit {sample}.")
        module = make_module(layer, keywords)
        initialize(module, own_init(layer) or self._model.init)
        if is_frozen(layer):
            module.requires_grad_(requires_grad=False)
        return module, output
