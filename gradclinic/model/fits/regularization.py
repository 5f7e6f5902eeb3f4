"""What the dropouts take that drop whole channels."""

from __future__ import annotations

from gradclinic.contract.regularization import Dropout1d, Dropout2d, Dropout3d
from gradclinic.model.fits.misfit import Keywords, Misfit, wrong_rank
from gradclinic.model.fits.windows import ADD_CHANNELS, DIMENSIONS
from gradclinic.model.sample import Shape


def fit_channel_dropout(layer: Dropout1d | Dropout2d | Dropout3d, shape: Shape) -> Keywords | Misfit:
    """Check the number of dimensions: with one less, PyTorch would drop whole samples."""
    dimensions = int(layer.type[-2])  # Dropout2d: PyTorch's names say it
    if len(shape) == dimensions + 1:
        return {}
    misfit = wrong_rank(shape, DIMENSIONS[dimensions], f"{ADD_CHANNELS}; Dropout takes any")
    return Misfit(misfit.key, misfit.detail, misfit.expected, shape)
