"""What was measured of a network that nobody has trained yet: a job with `"training": {"steps": 0}`.

How it is measured stands in `gradclinic.training.preflight`, what follows from it in `gradclinic.diagnosis`.
"""

from __future__ import annotations

from pydantic import Field

from gradclinic.contract.base import ResultModel

SEEDS = 3
"""Seeds that are looked at: the spec's own and the next ones."""

LEAST_SAMPLES = 512
"""Samples that units are looked at with, of each seed: those that the recorder wants before it calls a unit dead."""

MOST_BATCHES = 8
"""Batches of which gradients are taken, of each seed: eight of 64 are 512 samples."""

FEWEST_BATCHES = 3
"""The same of batches that are larger than that, so that one odd batch is outvoted."""

SHARPNESS_ROWS = 64
"""Rows that the sharpness is taken of, at least: smaller batches are sharp in directions that the next one knows nothing of."""

MOST_PRODUCTS = 40
"""Products of the Hessian with a vector that the search for its largest eigenvalue may take."""

PASSES = SEEDS * (2 * MOST_BATCHES + 2 * MOST_PRODUCTS)
"""Optimizer steps that a preflight takes as long as, at most: a step's gradient costs one, the samples beside it and the loss after it
together another, and a product, which goes back through a forward and a backward pass, two."""


class DepthSlope(ResultModel):
    """How a quantity changes from one layer with weights to the next, in decades, over all seeds."""

    per_layer: float = Field(description="Mean change of its log10 a layer: below 0 it is lost on the way.")
    ci95: tuple[float, float] | None = Field(
        description="95 % confidence interval of that; null with fewer than two changes."
    )
    layers: int = Field(description="Layers with weights along which it was followed.")


class BornDead(ResultModel):
    """Units that are off for every sample before any training."""

    layer: str
    shares: list[float] = Field(description="Share of its units, by seed.")


class AlikeUnits(ResultModel):
    """Units that begin with the weights of another one and get its gradient."""

    layer: str
    share: float = Field(description="Share of the layer's units.")


class Sharpness(ResultModel):
    """The largest eigenvalue of the Hessian of the loss of the first batch, or of the first rows where that is smaller."""

    values: list[float] = Field(description="By seed; seeds on which the search failed are left out.")
    border: float | None = Field(
        description="The largest at which steps of this learning rate do not diverge on a quadratic loss: 2 / lr, with a momentum "
        "2 (1 + momentum) / lr; null where the optimizer is no plain SGD."
    )


class PreflightFacts(ResultModel):
    """What a few batches and several seeds show without training. Lists go by seed; null is a number that is not finite."""

    seeds: list[int] = Field(description="Seeds of initialization and order of the batches.")
    batches: int = Field(description="Batches whose gradients were taken, of each seed.")
    samples: int = Field(description="Samples passed through the network, of each seed.")
    initial_losses: list[float | None] = Field(description="Mean loss over the batches.")
    losses_without_offset: list[float | None] = Field(
        default_factory=list,
        description="Loss of the first rows once what all samples' logits have in common is taken off, which a bias takes off as "
        "well; empty where the loss takes no logits.",
    )
    gradient_norms: list[float | None] = Field(description="Median norm of the whole gradient over the batches.")
    losses_after_step: list[float | None] = Field(
        description="Loss of a batch after one step on it, which was taken back, over the loss before; the median over the batches."
    )
    gradient: DepthSlope | None = Field(
        None, description="Of the gradient with respect to outputs, from the last layer back."
    )
    signal: DepthSlope | None = Field(
        None,
        description="Of the deviation of outputs between samples, from the first layer on: what is left of the differences.",
    )
    born_dead: list[BornDead] = Field(default_factory=list, description="Layers that have such units on any seed.")
    alike: list[AlikeUnits] = Field(default_factory=list, description="Layers that have such units, on the first seed.")
    still_zero: list[str] = Field(
        default_factory=list,
        description="Weights whose gradient is exactly 0, and again after one step, on the first seed.",
    )
    sharpness: Sharpness | None = Field(None, description="null where the loss cannot be differentiated twice.")
    lr: float | None = Field(None, description="The learning rate of the first step.")
    rises: bool = Field(False, description="Whether the schedule raises the learning rate from there.")
    notes: list[str] = Field(default_factory=list, description="What could not be measured, and why.")
