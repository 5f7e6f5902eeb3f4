"""What has to be known about a run beside its signals, for a diagnosis to make sense of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import Outcome
from gradclinic.contract.preflight import PreflightFacts


class LayerFacts(ResultModel):
    """One module whose output was watched."""

    name: str = Field(description="The layer's name, as in the signals.")
    type: str = Field(description="The torch.nn class, or the combinator.")
    parameters: list[str] = Field(default_factory=list, description="Full names of its own parameters.")
    on_trunk: bool = Field(True, description="Whether every gradient to earlier layers passes through it.")
    calls: int = Field(
        1, description="How often it is called in one forward pass; several calls are never on the trunk."
    )
    weight_shape: list[int] | None = Field(None, description="Shape of its weight; None without one.")
    alike_units: float | None = Field(
        None, description="Share of its units that begin with the weights of another one; None where not known."
    )
    time_gain: float | None = Field(
        None,
        description="Of a recurrent layer over a sequence, before the first step: the gradient's norm at the first element of its "
        "input over that at the last; None where not known.",
    )


class InputFacts(ResultModel):
    """The inputs of the training part, as the model gets them; per feature where they are a table, else as a whole."""

    largest_scale: float = Field(description="Root mean square of the largest feature.")
    smallest_scale: float = Field(description="Root mean square of the smallest feature that is not always 0.")


class TargetFacts(ResultModel):
    """The targets of the training part."""

    lowest: float | None = Field(None, description="The smallest number; None for classes.")
    highest: float | None = Field(None, description="The largest number; None for classes.")
    scale: float | None = Field(None, description="Root mean square; None for classes.")
    class_shares: list[float] = Field(default_factory=list, description="Share of each class; empty for numbers.")


class Restraint(ResultModel):
    """What holds weights back on purpose."""

    weight_decay: float = Field(0.0, description="The optimizer's.")
    is_decoupled: bool = Field(False, description="Whether the decay is taken from the weights directly, as in AdamW.")
    l1: float = Field(0.0, description="Weight of the sum of absolute weights in the loss.")
    dropout: float = Field(0.0, description="The largest probability of a dropout layer.")


class Trivial(ResultModel):
    """What a predictor reaches that ignores its input: the prior of the classes, or a constant."""

    train_loss: float | None = None
    val_loss: float | None = None
    metric: float | None = Field(None, description="Of the leading metric.")


class RunError(ResultModel):
    """What PyTorch raised in the middle of a training."""

    step: int = Field(description="The step in which it was raised.")
    type: str = Field(description="The Python class of the error.")
    message: str = Field(description="PyTorch's own words.")


class RunFacts(ResultModel):
    """The facts of a run. All are optional: a user's own loop knows fewer of them than ours."""

    layers: list[LayerFacts] = Field(default_factory=list, description="In the order of the forward pass.")
    optimizer: str | None = Field(None, description="The torch.optim class.")
    loss: str | None = Field(None, description="The torch.nn loss class.")
    task: Literal["classification", "regression"] | None = None
    metric: str | None = Field(None, description="The leading metric.")
    steps_planned: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int | None = None
    judged_samples: int | None = Field(None, description="Samples of the part that evaluations judge.")
    parameters: int | None = Field(None, description="Parameters of the model, frozen ones included.")
    rate_is_constant: bool | None = Field(
        None, description="Whether nothing changes the learning rate while it trains; None where not known."
    )
    noise_scale: float | None = Field(
        None,
        description="Samples at which the noise of the gradient is as large as the gradient, at the end of the training.",
    )
    inputs: InputFacts | None = None
    targets: TargetFacts | None = None
    restraint: Restraint | None = None
    trivial: Trivial = Field(default_factory=Trivial)
    outcome: Outcome | None = None
    preflight: PreflightFacts | None = Field(None, description="What was looked at before a training that was none.")
    error: RunError | None = None
    gradients_measured: Literal["before_clipping", "at_optimizer_step"] | None = Field(
        None,
        description="Whether the loop said where to measure, before it clips, or gradients are as the optimizer got them.",
    )
    recorder_kernel: Literal["compiled", "torch"] | None = Field(None, description="What read gradients and weights.")
    notes: list[str] = Field(default_factory=list, description="What could not be recorded, in words.")
