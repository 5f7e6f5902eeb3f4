"""Layers that drop units in training and pass everything on in evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradclinic.contract.base import Probability
from gradclinic.contract.layer import LayerSpec


class _Dropout(LayerSpec):
    p: Probability = Field(0.5, description="Probability of zeroing.")
    inplace: bool = Field(False, description="Overwrite the input.")


class Dropout(_Dropout):
    """Zero each element with probability p in training. Srivastava et al. 2014."""

    type: Literal["Dropout"]


class Dropout1d(_Dropout):
    """Zero whole channels of [N, C, L]. Tompson et al. 2015."""

    type: Literal["Dropout1d"]


class Dropout2d(_Dropout):
    """Zero whole channels of [N, C, H, W]. Tompson et al. 2015."""

    type: Literal["Dropout2d"]


class Dropout3d(_Dropout):
    """Zero whole channels of [N, C, D, H, W]. Tompson et al. 2015."""

    type: Literal["Dropout3d"]


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance, for SELU. Klambauer et al. 2017."""

    type: Literal["AlphaDropout"]


Regularization = Dropout | Dropout1d | Dropout2d | Dropout3d | AlphaDropout
"""All of them."""
