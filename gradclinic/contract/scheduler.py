"""Learning rate schedulers, each by the name, keywords and defaults of its `torch.optim.lr_scheduler` class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Positive, Probability, Size, SpecModel, misfit

GAMMA = "Factor of the learning rate."
MOMENTUM = "Cycle the momentum against the learning rate; the optimizer has to have one, or betas."

Milestones = Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=1000)]


class _Scheduler(SpecModel):
    interval: Literal["step", "epoch"] = Field("epoch", description="What the scheduler counts.")


class StepLR(_Scheduler):
    """Multiply by gamma every step_size intervals."""

    type: Literal["StepLR"]
    step_size: Size = Field(description="Intervals between two decays.")
    gamma: NonNegative = Field(0.1, description=GAMMA)


class MultiStepLR(_Scheduler):
    """Multiply by gamma at each milestone."""

    type: Literal["MultiStepLR"]
    milestones: Milestones = Field(description="Intervals at which to decay, ascending.")
    gamma: NonNegative = Field(0.1, description=GAMMA)

    @model_validator(mode="after")
    def _ascending(self) -> MultiStepLR:
        if list(self.milestones) != sorted(self.milestones):
            raise misfit("The milestones do not ascend.", at="milestones", expected="an ascending list")
        return self


class ExponentialLR(_Scheduler):
    """Multiply by gamma every interval."""

    type: Literal["ExponentialLR"]
    gamma: NonNegative = Field(description=GAMMA)


class CosineAnnealingLR(_Scheduler):
    """Half a cosine down to eta_min in T_max intervals. Loshchilov & Hutter 2017."""

    type: Literal["CosineAnnealingLR"]
    T_max: Size = Field(description="Intervals to the minimum.")
    eta_min: NonNegative = Field(0.0, description="The minimum.")


class CosineAnnealingWarmRestarts(_Scheduler):
    """Cosine annealing that starts again. Loshchilov & Hutter 2017."""

    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Size = Field(description="Intervals to the first restart.")
    T_mult: Size = Field(1, description="Factor of that length after each restart.")
    eta_min: NonNegative = Field(0.0, description="The minimum.")


class LinearLR(_Scheduler):
    """A line from start_factor to end_factor: a warmup, if it rises."""

    type: Literal["LinearLR"]
    start_factor: float = Field(1 / 3, gt=0.0, le=1.0, description="Factor at the start.")
    end_factor: Probability = Field(1.0, description="Factor at the end.")
    total_iters: Size = Field(5, description="Intervals to the end.")


class PolynomialLR(_Scheduler):
    """A polynomial down to 0 in total_iters intervals."""

    type: Literal["PolynomialLR"]
    total_iters: Size = Field(5, description="Intervals to 0.")
    power: Positive = Field(1.0, description="Power of the polynomial.")


class OneCycleLR(_Scheduler):
    """One rise to max_lr and a long fall. Smith & Topin 2018."""

    type: Literal["OneCycleLR"]
    max_lr: Positive = Field(description="The peak.")
    total_steps: Size | None = Field(None, description="Length of the cycle in intervals; follows from the training.")
    pct_start: Probability = Field(0.3, description="Share of the rise.")
    anneal_strategy: Literal["cos", "linear"] = Field("cos", description="Shape of the curve.")
    cycle_momentum: bool = Field(True, description=MOMENTUM)
    base_momentum: Probability = Field(0.85, description="Momentum at the peak.")
    max_momentum: Probability = Field(0.95, description="Momentum at the ends.")
    div_factor: Positive = Field(25.0, description="max_lr over the learning rate at the start.")
    final_div_factor: Positive = Field(1e4, description="Learning rate at the start over that at the end.")
    three_phase: bool = Field(False, description="Fall symmetrically, then further.")


class CyclicLR(_Scheduler):
    """Up and down between base_lr and max_lr. Smith 2017."""

    type: Literal["CyclicLR"]
    base_lr: NonNegative = Field(description="The lower end.")
    max_lr: Positive = Field(description="The upper end.")
    step_size_up: Size = Field(2000, description="Intervals of a rise.")
    step_size_down: Size | None = Field(None, description="Intervals of a fall; as many as of a rise by default.")
    mode: Literal["triangular", "triangular2", "exp_range"] = Field("triangular", description="Shape over the cycles.")
    gamma: Positive = Field(1.0, description="Base of exp_range.")
    cycle_momentum: bool = Field(True, description=MOMENTUM)
    base_momentum: Probability = Field(0.8, description="Momentum at max_lr.")
    max_momentum: Probability = Field(0.9, description="Momentum at base_lr.")


class ReduceLROnPlateau(_Scheduler):
    """Multiply by factor when the validation loss has not improved for patience evaluations.

    It follows the evaluations, whatever its interval.
    """

    type: Literal["ReduceLROnPlateau"]
    factor: float = Field(0.1, gt=0.0, lt=1.0, description=GAMMA)
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = Field(10, description="Evaluations without improvement.")
    threshold: NonNegative = Field(1e-4, description="What counts as an improvement.")
    threshold_mode: Literal["rel", "abs"] = Field("rel", description="Whether that is relative.")
    cooldown: Annotated[int, Field(ge=0, le=1_000_000)] = Field(0, description="Evaluations to wait after a decay.")
    min_lr: NonNegative = Field(0.0, description="Lower end of the learning rate.")
    eps: NonNegative = Field(1e-8, description="Smallest change that is made.")


Link = Annotated[
    StepLR | MultiStepLR | ExponentialLR | CosineAnnealingLR | CosineAnnealingWarmRestarts | LinearLR | PolynomialLR
    | CyclicLR,
    Field(discriminator="type"),
]  # fmt: skip
"""A scheduler that can be one of a chain. OneCycleLR cannot: PyTorch's writes over the rate that the others start from."""


class SequentialLR(_Scheduler):
    """One scheduler after the other: the next one starts at its milestone. All count the interval given here."""

    type: Literal["SequentialLR"]
    schedulers: Annotated[tuple[Link, ...], Field(strict=False, min_length=2, max_length=20)] = Field(
        description="The schedulers, in their order."
    )
    milestones: Milestones = Field(description="Where each but the first starts, in intervals.")

    @model_validator(mode="after")
    def _fits_together(self) -> SequentialLR:
        if len(self.milestones) != len(self.schedulers) - 1:
            message = f"There are {len(self.milestones)} milestones between {len(self.schedulers)} schedulers."
            raise misfit(message, at="milestones", expected=f"a list of {len(self.schedulers) - 1}")
        if any(one >= other for one, other in zip(self.milestones, self.milestones[1:], strict=False)):
            raise misfit("The milestones do not ascend.", at="milestones", expected="an ascending list")
        for place, link in enumerate(self.schedulers):
            if "interval" in link.model_fields_set and link.interval != self.interval:
                message = f"This scheduler counts by {link.interval}, the chain by {self.interval}."
                raise misfit(message, at=f"schedulers/{place}/interval", expected=self.interval)
        return self


Scheduler = Annotated[
    StepLR | MultiStepLR | ExponentialLR | CosineAnnealingLR | CosineAnnealingWarmRestarts | LinearLR | PolynomialLR
    | OneCycleLR | CyclicLR | ReduceLROnPlateau | SequentialLR,
    Field(discriminator="type"),
]  # fmt: skip
"""Any scheduler, told apart by its `type`."""
