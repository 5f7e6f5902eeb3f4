"""What a diagnosis has to know about a network's layers: order, type, parameters, and whether gradients can pass by."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from gradclinic.history.facts import LayerFacts
from gradclinic.model.graph import GraphNetwork, graph_facts
from gradclinic.model.network import Chain, Dense, Group, Network, Parallel, Residual


def layer_facts(network: nn.Module) -> list[LayerFacts]:
    """List the layers of a network of `build_model` whose outputs are worth watching, in the order of the forward pass.

    Those are all layers that hold no others, however PyTorch makes them (a `TransformerEncoderLayer` is one), and each
    `Residual`, `Parallel` and block of a `Dense`, after the layers inside. Groups compute nothing and are left out. The
    names are those of `named_modules`; what is inside a combinator that computes is not on the trunk. A graph's are those
    that it names.
    """
    if isinstance(network, GraphNetwork):
        return graph_facts(network.graph)
    return list(_facts(network, "", on_trunk=True))


def _facts(module: nn.Module, name: str, *, on_trunk: bool) -> Iterator[LayerFacts]:
    if isinstance(module, Network | Group | Chain | nn.ModuleList):
        for part, child in module.named_children():
            yield from _facts(child, _joined(name, part), on_trunk=on_trunk)
        return
    if isinstance(module, Residual | Dense | Parallel):
        for part, child in module.named_children():
            yield from _facts(child, _joined(name, part), on_trunk=False)
        own: list[str] = []
    else:
        own = [parameter for parameter, _ in module.named_parameters(prefix=name)]
    yield LayerFacts(
        name=name,
        type=type(module).__name__,  # a module is an instance of the class that the spec names
        parameters=own,
        on_trunk=on_trunk,
        weight_shape=_weight_shape(module),
    )


def _weight_shape(module: nn.Module) -> list[int] | None:
    weight = getattr(module, "weight", None)
    return list(weight.shape) if isinstance(weight, Tensor) else None


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part
