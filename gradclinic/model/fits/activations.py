"""What the activations take whose elements see each other, or have parameters."""

from __future__ import annotations

from gradclinic.contract.activations import GLU, LogSoftmax, PReLU, Softmax
from gradclinic.model.fits.misfit import Keywords, Misfit, place_of
from gradclinic.model.sample import Shape, shown


def fit_prelu(layer: PReLU, shape: Shape) -> Keywords | Misfit:
    """Check that there is one slope, or one a channel."""
    channels = shape[0] if shape else 1
    if layer.num_parameters in (1, channels):
        return {}
    detail = f"num_parameters is {layer.num_parameters}, but the input is {shown(shape)}"
    return Misfit("num_parameters", detail, f"1 or {channels}", shape)


def fit_softmax(layer: Softmax | LogSoftmax, shape: Shape) -> Keywords | Misfit:
    """Check the dimension."""
    place = place_of("dim", layer.dim, shape)
    return Misfit(place.key, place.detail, place.expected, shape) if isinstance(place, Misfit) else {}


def fit_glu(layer: GLU, shape: Shape) -> Keywords | Misfit:
    """Check that the dimension can be halved."""
    place = place_of("dim", layer.dim, shape)
    if isinstance(place, Misfit):
        return place
    if shape[place] % 2 == 0:
        return {}
    detail = f"dimension {layer.dim} of the input {shown(shape)} is {shape[place]}, which has no half"
    return Misfit("dim", detail, "a dimension of an even size")
