"""What Linear, Flatten, Unflatten and Embedding take."""

from __future__ import annotations

import math

from gradclinic.contract.feedforward import Embedding, Flatten, Linear, Unflatten
from gradclinic.model.fits.misfit import Keywords, Misfit, fit_size, place_of, wrong_rank
from gradclinic.model.sample import Shape, shown


def fit_linear(layer: Linear, shape: Shape) -> Keywords | Misfit:
    """Infer `in_features`."""
    if not shape:
        return wrong_rank(shape, "[N, ..., features]", "an Unflatten or a keepdim before it keeps a dimension")
    return fit_size("in_features", layer.in_features, shape[-1], shape)


def fit_flatten(layer: Flatten, shape: Shape) -> Keywords | Misfit:
    """Check the dimensions, which leave the batch apart."""
    rank = len(shape) + 1
    for key, dim in (("start_dim", layer.start_dim), ("end_dim", layer.end_dim)):
        if not -rank <= dim < rank:
            detail = f"{key} is {dim}, but the input {shown(shape)} has {rank} dimensions, the batch included"
            return Misfit(key, detail, f"{-rank} to {rank - 1}")
    start, end = layer.start_dim % rank, layer.end_dim % rank
    if start > end:
        detail = f"start_dim {layer.start_dim} comes after end_dim {layer.end_dim} in the input {shown(shape)}"
        return Misfit("start_dim", detail, "start_dim <= end_dim")
    if start == 0 < end:
        detail = f"start_dim {layer.start_dim} joins the batch of the input {shown(shape)} with what follows"
        return Misfit("start_dim", detail, "1, or more")
    return {}


def fit_unflatten(layer: Unflatten, shape: Shape) -> Keywords | Misfit:
    """Check that the parts make up the dimension."""
    place = place_of("dim", layer.dim, shape)
    if isinstance(place, Misfit):
        return place
    size, parts = shape[place], list(layer.unflattened_size)
    if math.prod(parts) == size:
        return {}
    detail = f"unflattened_size is {parts}, {math.prod(parts)} numbers, but dimension {layer.dim} of {shown(shape)} has {size}"
    output = (*shape[:place], *parts, *shape[place + 1 :])
    return Misfit("unflattened_size", detail, f"sizes whose product is {size}", output)


def fit_embedding(layer: Embedding, shape: Shape) -> Keywords | Misfit:
    """Check the token that is not trained."""
    count, padding = layer.num_embeddings, layer.padding_idx
    if padding is None or -count <= padding < count:
        return {}
    detail = f"padding_idx is {padding}, and there are {count} tokens"
    return Misfit("padding_idx", detail, f"{-count} to {count - 1}", (*shape, layer.embedding_dim))
