"""What the layers over sequences and the reductions take."""

from __future__ import annotations

from gradclinic.contract.sequence import (
    Max,
    Mean,
    MultiheadAttention,
    PositionalEncoding,
    Recurrent,
    Select,
    TransformerEncoderLayer,
)
from gradclinic.model.fits.misfit import Keywords, Misfit, fit_size, indivisible, place_of, wrong_rank
from gradclinic.model.sample import Shape, shown

SEQUENCE = "[N, length, features]"
ADD_LENGTH = "an Unflatten before it adds a dimension, a Flatten joins two, an Embedding makes vectors of tokens"


def fit_recurrent(layer: Recurrent, shape: Shape) -> Keywords | Misfit:
    """Infer `input_size`."""
    if len(shape) != 2:
        return wrong_rank(shape, SEQUENCE, ADD_LENGTH)
    return fit_size("input_size", layer.input_size, shape[1], shape)


def fit_attention(layer: MultiheadAttention, shape: Shape) -> Keywords | Misfit:
    """Infer `embed_dim`; check that the heads divide it."""
    if len(shape) != 2:
        return wrong_rank(shape, SEQUENCE, ADD_LENGTH)
    fitted = fit_size("embed_dim", layer.embed_dim, shape[1], shape)
    return fitted if isinstance(fitted, Misfit) else _headless("num_heads", layer.num_heads, shape) or fitted


def fit_transformer(layer: TransformerEncoderLayer, shape: Shape) -> Keywords | Misfit:
    """Infer `d_model`; check that the heads divide it."""
    if len(shape) != 2:
        return wrong_rank(shape, SEQUENCE, ADD_LENGTH)
    fitted = fit_size("d_model", layer.d_model, shape[1], shape)
    return fitted if isinstance(fitted, Misfit) else _headless("nhead", layer.nhead, shape) or fitted


def fit_positions(_: PositionalEncoding, shape: Shape) -> Keywords | Misfit:
    """Infer the length and the number of features, which the module's table of sinusoids has to know."""
    if len(shape) != 2:
        return wrong_rank(shape, SEQUENCE, ADD_LENGTH)
    return {"length": shape[0], "features": shape[1]}


def fit_reduction(layer: Mean | Max, shape: Shape) -> Keywords | Misfit:
    """Check the dimension."""
    place = place_of("dim", layer.dim, shape)
    return place if isinstance(place, Misfit) else {}


def fit_select(layer: Select, shape: Shape) -> Keywords | Misfit:
    """Check the dimension, and that it has the element."""
    place = place_of("dim", layer.dim, shape)
    if isinstance(place, Misfit):
        return place
    size = shape[place]
    if -size <= layer.index < size:
        return {}
    detail = f"index is {layer.index}, but dimension {layer.dim} of the input {shown(shape)} has {size} elements"
    return Misfit("index", detail, f"{-size} to {size - 1}", shape[:place] + shape[place + 1 :])


def _headless(key: str, heads: int, shape: Shape) -> Misfit | None:
    misfit = indivisible(key, heads, shape[1], "the features of the input")
    return misfit and Misfit(misfit.key, misfit.detail, misfit.expected, shape)
