"""Loss functions, each by the name and keywords of its `torch.nn` class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gradclinic.contract.base import Index, NonNegative, Positive, Probability, SpecModel

_Weights = Annotated[tuple[NonNegative, ...], Field(strict=False, min_length=1, max_length=10_000)]


class _Loss(SpecModel):
    reduction: Literal["mean", "sum"] = Field("mean", description="How the losses of a batch become one number.")


class CrossEntropyLoss(_Loss):
    """Of unnormalised class scores (logits) [N, C] and class indices [N]."""

    type: Literal["CrossEntropyLoss"]
    weight: _Weights | None = Field(None, description="A weight for each class.")
    ignore_index: Index = Field(-100, description="A class index that counts for nothing.")
    label_smoothing: Probability = Field(0.0, description="Share of the target spread over all classes.")


class NLLLoss(_Loss):
    """Of logarithms of class probabilities (LogSoftmax) [N, C] and class indices [N]."""

    type: Literal["NLLLoss"]
    weight: _Weights | None = Field(None, description="A weight for each class.")
    ignore_index: Index = Field(-100, description="A class index that counts for nothing.")


class BCELoss(_Loss):
    """Binary cross entropy of probabilities (Sigmoid); class indices become floats of the output's shape."""

    type: Literal["BCELoss"]


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of logits; class indices become floats of the output's shape."""

    type: Literal["BCEWithLogitsLoss"]
    pos_weight: NonNegative | None = Field(None, description="Weight of the positive class.")


class MSELoss(_Loss):
    """Mean squared error."""

    type: Literal["MSELoss"]


class L1Loss(_Loss):
    """Mean absolute error."""

    type: Literal["L1Loss"]


class HuberLoss(_Loss):
    """Squared below delta, absolute above."""

    type: Literal["HuberLoss"]
    delta: Positive = Field(1.0, description="Where it turns from squared to absolute.")


class SmoothL1Loss(_Loss):
    """Squared below beta, absolute above, and divided by beta."""

    type: Literal["SmoothL1Loss"]
    beta: NonNegative = Field(1.0, description="Where it turns from squared to absolute.")


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of counts."""

    type: Literal["PoissonNLLLoss"]
    log_input: bool = Field(True, description="The output is the logarithm of the rate.")
    full: bool = Field(False, description="Add Stirling's term.")
    eps: Positive = Field(1e-8, description="Added to the rate before its logarithm is taken.")


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log probabilities from probabilities, such as one-hot classes."""

    type: Literal["KLDivLoss"]
    log_target: bool = Field(False, description="The targets are logarithms, too.")


Loss = Annotated[
    CrossEntropyLoss | NLLLoss | BCELoss | BCEWithLogitsLoss | MSELoss | L1Loss | HuberLoss | SmoothL1Loss
    | PoissonNLLLoss | KLDivLoss,
    Field(discriminator="type"),
]  # fmt: skip
"""Any loss, told apart by its `type`."""
