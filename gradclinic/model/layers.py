"""From a layer that holds no others to its `torch.nn` module: the class by its name, the sizes from the input.

Adding such a layer takes nothing here, unless a keyword of it follows from the input: then one function, one line in
`FITS`, and the keyword in `INFERRED`. The shape of its output needs no line at all: PyTorch works it out, in
`gradclinic.model.measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from gradclinic.contract import layers as contract
from gradclinic.contract.activations import PReLU
from gradclinic.contract.initialization import Init
from gradclinic.contract.layers import AnyLayer

Shape = tuple[int, ...]
"""The shape of one sample, without the batch."""

Keywords = dict[str, Any]


@dataclass(frozen=True)
class Misfit:
    """A layer that cannot take its input: the key to change (empty for the layer itself), why, and what would be right.

    `output` is the shape that comes out once that is mended; None where that cannot be told.
    """

    key: str
    detail: str
    expected: str
    output: Shape | None


def shown(shape: Shape) -> str:
    """Write a shape with its batch: `[N, 64]`."""
    return f"[{', '.join(['N', *map(str, shape)])}]"


def own_init(layer: AnyLayer) -> Init | None:
    """Return the `init` that replaces the model's for this layer. PReLU's keyword of that name is a number."""
    init = getattr(layer, "init", None)
    return init if isinstance(init, Init) else None


def is_frozen(layer: AnyLayer) -> bool:
    """Tell whether the layer's parameters are not trained."""
    return bool(getattr(layer, "frozen", False))


def posted_keywords(layer: AnyLayer) -> Keywords:
    """Return PyTorch's keywords of a layer as they were posted, those left out to be inferred left out here too."""
    ours = {"type", "name", "frozen"} | ({"init"} if not isinstance(layer, PReLU) else set())
    keywords = layer.model_dump(exclude=ours)
    return {key: value for key, value in keywords.items() if value is not None or key not in INFERRED}


def fitted_keywords(layer: AnyLayer, shape: Shape) -> Keywords | Misfit:
    """Complete a layer's keywords for an input of `shape`, or say what does not fit."""
    fit = FITS.get(layer.type)
    if fit is None:
        return posted_keywords(layer)
    fitted = fit(layer, shape)
    return fitted if isinstance(fitted, Misfit) else posted_keywords(layer) | fitted


def make_module(layer: AnyLayer, keywords: Keywords) -> nn.Module:
    """Make the `torch.nn` module of a layer, with PyTorch's own initialization."""
    module: nn.Module = getattr(nn, layer.type)(**keywords)
    return module


def _fit_linear(layer: contract.Linear, shape: Shape) -> Keywords | Misfit:
    if not shape:
        return _wrong_rank(shape, "[N, ..., features]", None)
    return _fit_size("in_features", layer.in_features, shape[-1], shape, (*shape[:-1], layer.out_features))


def _fit_batch_norm_1d(layer: contract.BatchNorm1d, shape: Shape) -> Keywords | Misfit:
    if len(shape) not in (1, 2):
        return _wrong_rank(shape, "[N, features] or [N, channels, length]", shape)
    return _fit_size("num_features", layer.num_features, shape[0], shape, shape)


def _fit_layer_norm(layer: contract.LayerNorm, shape: Shape) -> Keywords | Misfit:
    if not shape:
        return _wrong_rank(shape, "[N, ..., features]", shape)
    given = layer.normalized_shape
    if not isinstance(given, tuple):
        return _fit_size("normalized_shape", given, shape[-1], shape, shape)
    fitting = shape[-len(given) :]
    if given == fitting:
        return {}
    detail = f"normalized_shape is {list(given)}, but the last dimensions of the input {shown(shape)} are others"
    return Misfit("normalized_shape", detail, f"{list(fitting)}, or no normalized_shape", shape)


def _fit_prelu(layer: PReLU, shape: Shape) -> Keywords | Misfit:
    channels = shape[0] if shape else 1
    if layer.num_parameters in (1, channels):
        return {}
    detail = f"num_parameters is {layer.num_parameters}, but the input is {shown(shape)}"
    return Misfit("num_parameters", detail, f"1 or {channels}", shape)


def _fit_flatten(layer: contract.Flatten, shape: Shape) -> Keywords | Misfit:
    rank = len(shape) + 1
    for key, dim in (("start_dim", layer.start_dim), ("end_dim", layer.end_dim)):
        if not -rank <= dim < rank:
            detail = f"{key} is {dim}, but the input {shown(shape)} has {rank} dimensions, the batch included"
            return Misfit(key, detail, f"{-rank} to {rank - 1}", None)
    start, end = layer.start_dim % rank, layer.end_dim % rank
    if start > end:
        detail = f"start_dim {layer.start_dim} comes after end_dim {layer.end_dim} in the input {shown(shape)}"
        return Misfit("start_dim", detail, "start_dim <= end_dim", None)
    if start == 0 < end:
        detail = f"start_dim {layer.start_dim} joins the batch of the input {shown(shape)} with what follows"
        return Misfit("start_dim", detail, "1, or more", None)
    return {}


def _fit_size(key: str, given: int | None, fitting: int, shape: Shape, output: Shape) -> Keywords | Misfit:
    """Take the size that follows from the input of `shape`, unless another one was given."""
    if given in (None, fitting):
        return {key: fitting}
    return Misfit(key, f"{key} is {given}, but the input is {shown(shape)}", f"{fitting}, or no {key}", output)


def _wrong_rank(shape: Shape, takes: str, output: Shape | None) -> Misfit:
    detail = f"the input is {shown(shape)}, and this layer takes {takes}"
    return Misfit("", detail, f"an input of {takes}; a Flatten before it joins dimensions", output)


FITS: Mapping[str, Callable[[Any, Shape], Keywords | Misfit]] = MappingProxyType(
    {
        "Linear": _fit_linear,
        "BatchNorm1d": _fit_batch_norm_1d,
        "LayerNorm": _fit_layer_norm,
        "PReLU": _fit_prelu,
        "Flatten": _fit_flatten,
    }
)
"""What follows from the input: for each such type a function from the layer and the shape to keywords."""

INFERRED = frozenset({"in_features", "num_features", "normalized_shape"})
"""The keywords that may be left out. PyTorch knows no default for them, so None must not reach it."""
