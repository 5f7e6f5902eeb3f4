"""What of a model can be recorded: its parameters and layers by their own names, whatever it is wrapped in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss as Loss
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from gradclinic.history import LayerFacts

COMPILED = "_orig_mod."
"""What `torch.compile` puts into the names of what it wraps."""

PARAMETRIZATIONS = "parametrizations"
"""The child in which PyTorch keeps what it works a parameter out of, for `weight_norm` and its like."""

MAX_NAMED = 5
"""Layers that a note names."""


@dataclass(frozen=True)
class Targets:
    """The parameters that are trained, the modules, and the layers that can be watched; `notes` says which cannot."""

    parameters: Mapping[str, nn.Parameter]
    modules: Mapping[str, nn.Module]
    layers: Sequence[LayerFacts]
    notes: tuple[str, ...]


def find_targets(model: nn.Module, layers: Sequence[LayerFacts] | None) -> Targets:
    """List what to record of a model.

    `DistributedDataParallel`, `DataParallel` and the wrapper of `torch.compile` are looked through: names are those of the
    model inside. The outputs of layers inside a compiled, scripted or replicated part are not watched, for there the
    modules do not run one by one.

    Args:
        model: As it is trained.
        layers: The layers asked for; by default `leaf_layers`.

    Raises:
        ValueError: Its parameters are sharded (FSDP, DTensor), not there yet (lazy modules) or on the meta device.
        KeyError: A layer that was asked for is not in the model.
    """
    inner = _unwrapped(model)
    parameters = {_own_name(name): p for name, p in inner.named_parameters() if p.requires_grad}
    for name, parameter in parameters.items():
        _refuse_unreadable(name, parameter)
    modules = {_own_name(name): module for name, module in inner.named_modules()}
    asked = list(layers) if layers is not None else leaf_layers(inner)
    for layer in asked:
        if layer.name not in modules:
            raise KeyError(f"The model has no module {layer.name!r}, which is asked for as a layer to watch.")
    closed = set(_closed(model))
    watched = [layer for layer in asked if modules[layer.name] not in closed]
    return Targets(parameters, modules, watched, _notes([layer.name for layer in asked if layer not in watched]))


def leaf_layers(model: nn.Module) -> list[LayerFacts]:
    """List the modules that compute by themselves, in the order in which they were registered.

    Those are all that have no children, and those whose children are never called: an attention, which reads the weights
    of its `out_proj`, and what PyTorch's parametrizations (`weight_norm`) are put on. Losses and metrics are none.
    """
    return [_facts_of(name, module) for name, module in _leaves("", model, set())]


def _leaves(name: str, module: nn.Module, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the leaves of a module by their names, each under its first."""
    if module in seen or isinstance(module, Loss) or type(module).__module__.startswith("torchmetrics."):
        return
    seen.add(module)
    children = [(part, child) for part, child in module.named_children() if part != PARAMETRIZATIONS]
    if not children or isinstance(module, nn.MultiheadAttention):
        yield name, module
        return
    for part, child in children:
        yield from _leaves(f"{name}.{part}" if name else part, child, seen)


def _facts_of(name: str, module: nn.Module) -> LayerFacts:
    return LayerFacts(
        name=_own_name(name),
        type=type_before_parametrizations(module).__name__,
        parameters=[_own_name(own) for own, _ in module.named_parameters(prefix=name)],
        weight_shape=_weight_shape(module),
    )


def _weight_shape(module: nn.Module) -> list[int] | None:
    if is_parametrized(module, "weight"):
        # Asking for the weight would work it out, and a spectral norm goes on by one step each time.
        made_of = module.get_submodule(f"{PARAMETRIZATIONS}.weight").parameters(recurse=False)
        return list(max(made_of, key=Tensor.numel).shape)
    weight = getattr(module, "weight", None)
    return list(weight.shape) if isinstance(weight, Tensor) else None


def _own_name(name: str) -> str:
    return name.replace(COMPILED, "").removesuffix(COMPILED.rstrip(".")).removesuffix(".")


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _closed(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules whose outputs cannot be watched: those inside compiled, scripted and replicated ones."""
    for module in model.modules():
        # `torch.compile(module)` wraps it, `module.compile()` leaves a mark in it. Importing dynamo to ask takes a second.
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if compiled or isinstance(module, nn.DataParallel | torch.jit.ScriptModule):
            yield from module.modules()


def _notes(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(name or "the model itself" for name in names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    note = (
        f"The outputs of {shown}{more} are not watched: in a compiled, scripted or replicated model the layers do not run "
        "one by one. Their parameters are recorded. Record the model uncompiled to see its layers."
    )
    return (note,)


def _refuse_unreadable(name: str, parameter: nn.Parameter) -> None:
    if isinstance(parameter, UninitializedParameter):
        raise ValueError(  # noqa: TRY004 - it is the model's state that is wrong
            f"The parameter {name!r} is not there yet. Run the lazy module once before recording."
        )
    if parameter.is_meta:
        raise ValueError(
            f"The parameter {name!r} is on the meta device, which holds no numbers. Record the real model."
        )
    # By what they have, for importing what they are takes long: DTensor, and the flat parameter of the first FSDP.
    if hasattr(parameter, "device_mesh") or type(parameter).__name__ == "FlatParameter":
        raise ValueError(
            f"The parameter {name!r} is sharded over several processes (FSDP, DTensor), and what one process sees of it is "
            "not its gradient. Record a model that is whole on each process, such as one in DistributedDataParallel."
        )
