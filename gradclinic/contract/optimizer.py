"""Optimizers, each by the name, keywords and defaults of its `torch.optim` class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Number, SpecModel, misfit

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[tuple[Beta, Beta], Field(strict=False)]

LEARNING_RATE = "Learning rate; 0 is legal."
WEIGHT_DECAY = "L2 penalty."
EPSILON = "Added to the denominator."
BETAS = "Decay of the averages of the gradient and of its square."


class _Optimizer(SpecModel):
    maximize: bool = Field(False, description="Maximize the loss instead.")


class SGD(_Optimizer):
    """Stochastic gradient descent, with momentum if asked for."""

    type: Literal["SGD"]
    lr: NonNegative = Field(1e-3, description=LEARNING_RATE)
    momentum: NonNegative = Field(0.0, description="Momentum.")
    dampening: Number = Field(0.0, description="Dampening of the momentum.")
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    nesterov: bool = Field(False, description="Nesterov's momentum.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            message = "Nesterov's momentum needs a momentum, and no dampening."
            raise misfit(message, at="nesterov", expected="momentum > 0 and dampening 0, or nesterov false")
        return self


class Adam(_Optimizer):
    """Adaptive moments. Kingma & Ba 2015."""

    type: Literal["Adam"]
    lr: NonNegative = Field(1e-3, description=LEARNING_RATE)
    betas: Betas = Field((0.9, 0.999), description=BETAS)
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    amsgrad: bool = Field(False, description="Keep the largest second moment. Reddi et al. 2018.")


class AdamW(_Optimizer):
    """Adam with decoupled weight decay. Loshchilov & Hutter 2019."""

    type: Literal["AdamW"]
    lr: NonNegative = Field(1e-3, description=LEARNING_RATE)
    betas: Betas = Field((0.9, 0.999), description=BETAS)
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(1e-2, description="Decoupled weight decay.")
    amsgrad: bool = Field(False, description="Keep the largest second moment. Reddi et al. 2018.")


class NAdam(_Optimizer):
    """Adam with Nesterov's momentum. Dozat 2016."""

    type: Literal["NAdam"]
    lr: NonNegative = Field(2e-3, description=LEARNING_RATE)
    betas: Betas = Field((0.9, 0.999), description=BETAS)
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    momentum_decay: NonNegative = Field(4e-3, description="Decay of the momentum.")
    decoupled_weight_decay: bool = Field(False, description="Decouple the weight decay, as AdamW does.")


class RMSprop(_Optimizer):
    """Gradient over the root of its mean square. Tieleman & Hinton 2012."""

    type: Literal["RMSprop"]
    lr: NonNegative = Field(1e-2, description=LEARNING_RATE)
    alpha: Beta = Field(0.99, description="Decay of the mean square.")
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    momentum: NonNegative = Field(0.0, description="Momentum.")
    centered: bool = Field(False, description="Divide by the variance instead of the mean square.")


class RAdam(_Optimizer):
    """Adam with its variance rectified. Liu et al. 2020."""

    type: Literal["RAdam"]
    lr: NonNegative = Field(1e-3, description=LEARNING_RATE)
    betas: Betas = Field((0.9, 0.999), description=BETAS)
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    decoupled_weight_decay: bool = Field(False, description="Decouple the weight decay, as AdamW does.")


class Adagrad(_Optimizer):
    """Gradient over the root of the sum of its squares. Duchi et al. 2011."""

    type: Literal["Adagrad"]
    lr: NonNegative = Field(1e-2, description=LEARNING_RATE)
    lr_decay: NonNegative = Field(0.0, description="Decay of the learning rate.")
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)
    initial_accumulator_value: NonNegative = Field(0.0, description="Start of the sum.")
    eps: NonNegative = Field(1e-10, description=EPSILON)


class Adadelta(_Optimizer):
    """Steps in the unit of the weights. Zeiler 2012."""

    type: Literal["Adadelta"]
    lr: NonNegative = Field(1.0, description=LEARNING_RATE)
    rho: Annotated[float, Field(ge=0.0, le=1.0)] = Field(0.9, description="Decay of the averages.")
    eps: NonNegative = Field(1e-6, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)


class Adamax(_Optimizer):
    """Adam with the infinity norm. Kingma & Ba 2015, section 7."""

    type: Literal["Adamax"]
    lr: NonNegative = Field(2e-3, description=LEARNING_RATE)
    betas: Betas = Field((0.9, 0.999), description=BETAS)
    eps: NonNegative = Field(1e-8, description=EPSILON)
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)


class ASGD(_Optimizer):
    """Averaged SGD. Polyak & Juditsky 1992."""

    type: Literal["ASGD"]
    lr: NonNegative = Field(1e-2, description=LEARNING_RATE)
    lambd: NonNegative = Field(1e-4, description="Decay term.")
    alpha: NonNegative = Field(0.75, description="Power of the decay of the learning rate.")
    t0: NonNegative = Field(1e6, description="Step at which averaging starts.")
    weight_decay: NonNegative = Field(0.0, description=WEIGHT_DECAY)


class Rprop(_Optimizer):
    """Steps by the gradient's sign alone; for full batches. Riedmiller & Braun 1993."""

    type: Literal["Rprop"]
    lr: NonNegative = Field(1e-2, description=LEARNING_RATE)
    etas: Annotated[
        tuple[Annotated[float, Field(gt=0.0, lt=1.0)], Annotated[float, Field(gt=1.0)]], Field(strict=False)
    ] = Field((0.5, 1.2), description="Factors of a step that overshot and of one that did not.")
    step_sizes: Annotated[tuple[NonNegative, NonNegative], Field(strict=False)] = Field(
        (1e-6, 50.0), description="Smallest and largest step."
    )


Optimizer = Annotated[
    SGD | Adam | AdamW | NAdam | RAdam | RMSprop | Adagrad | Adadelta | Adamax | ASGD | Rprop,
    Field(discriminator="type"),
]
"""Any optimizer, told apart by its `type`."""
