"""From a layer that holds no others to its module: the class by its name, the sizes from the input.

Whether it fits its input is for `gradclinic.model.fits` to say; the shape of its output for `gradclinic.model.measure`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from gradclinic.contract.activations import PReLU
from gradclinic.contract.feedforward import Embedding
from gradclinic.contract.initialization import Init
from gradclinic.contract.layers import AnyLayer, Dense, Parallel, Repeat, Residual, Sequential
from gradclinic.contract.spec import GraphModel, Model
from gradclinic.files import Files
from gradclinic.model.fits import FITS, INFERRED, Keywords, Misfit
from gradclinic.model.graph.load import load_graph
from gradclinic.model.modules import MODULES
from gradclinic.model.sample import Sample, shown

MOVING = frozenset({"Flatten", "Unflatten", "Identity", "Select"})
"""The layers that move numbers and compute none: tokens stay tokens in them."""


def takes_tokens(model: Model | GraphModel, files: Files | None = None) -> bool:
    """Tell whether a model takes whole numbers (int64): its first layer that computes is an Embedding, or its graph says so.

    Raises:
        InvalidSpec: The artifact of a graph is not among the files, or cannot be used.
    """
    if isinstance(model, GraphModel):
        return load_graph(model, files).document.input.dtype == "int64"
    return bool(_starts_with_embedding(model.layers))


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


def fitted_keywords(layer: AnyLayer, sample: Sample) -> Keywords | Misfit:
    """Complete a layer's keywords for an input, or say what does not fit."""
    if (misfit := _kind_misfit(layer, sample)) is not None:
        return misfit
    fit = FITS.get(layer.type)
    if fit is None:
        return posted_keywords(layer)
    fitted = fit(layer, sample.shape)
    return fitted if isinstance(fitted, Misfit) else posted_keywords(layer) | fitted


def make_module(layer: AnyLayer, keywords: Keywords) -> nn.Module:
    """Make the module of a layer, with PyTorch's own initialization."""
    kind: Any = MODULES.get(layer.type) or getattr(nn, layer.type)
    module: nn.Module = kind(**keywords)
    return module


def _kind_misfit(layer: AnyLayer, sample: Sample) -> Misfit | None:
    """Say that a layer gets numbers where it takes tokens, or tokens where it takes numbers, if it does."""
    if isinstance(layer, Embedding):
        if sample.integers:
            return None
        detail = f"it takes tokens, which are whole numbers, and its input {shown(sample.shape)} is not"
        expected = "data whose inputs are whole numbers, and no layer before it that computes; or a Linear"
        return Misfit("", detail, expected, (*sample.shape, layer.embedding_dim))
    if not sample.integers or layer.type in MOVING:
        return None
    detail = f"its input {shown(sample.shape)} is tokens, which an Embedding elsewhere in the model asks for"
    return Misfit("", detail, "an Embedding before it")


def _starts_with_embedding(layers: Iterable[AnyLayer]) -> bool | None:
    """Tell whether the first of these layers that computes is an Embedding; None if none computes."""
    for layer in layers:
        starts: bool | None
        match layer:
            case _ if layer.type in MOVING:
                starts = None
            case Sequential() | Repeat():
                starts = _starts_with_embedding(layer.layers)
            case Residual() | Dense():
                starts = bool(_starts_with_embedding(layer.layers))
            case Parallel():
                # Any of them: where another branch does not, that one is told what it gets.
                starts = any(_starts_with_embedding(branch) for branch in layer.branches)
            case _:
                starts = isinstance(layer, Embedding)
        if starts is not None:
            return starts
    return None
