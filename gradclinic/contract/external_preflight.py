"""What a preflight measured, as it comes from outside: `gradclinic.contract.preflight`, strict and bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gradclinic.contract.base import Probability, Seed, SpecModel

MOST_SEEDS = 100
"""Seeds of one preflight."""

MOST_LAYERS = 20_000
"""Layers or weights that one list tells of, as many as facts have layers."""

Name = Annotated[str, Field(max_length=300)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Finite = Annotated[float, Field(ge=-1e308, le=1e308)]
BySeed = Annotated[list[Finite | None], Field(max_length=MOST_SEEDS)]


class ExternalDepthSlope(SpecModel):
    """How a quantity changes from one layer with weights to the next."""

    per_layer: Finite = Field(description="Mean change of its log10 a layer.")
    ci95: Annotated[tuple[Finite, Finite], Field(strict=False)] | None = Field(
        None, description="95 % confidence interval of that."
    )
    layers: Count = Field(description="Layers with weights along which it was followed.")


class ExternalBornDead(SpecModel):
    """Units that are off for every sample before any training."""

    layer: Name
    shares: list[Probability] = Field(min_length=1, max_length=MOST_SEEDS, description="Share of its units, by seed.")


class ExternalAlikeUnits(SpecModel):
    """Units that begin with the weights of another one and get its gradient."""

    layer: Name
    share: Probability = Field(description="Share of the layer's units.")


class ExternalSharpness(SpecModel):
    """The largest eigenvalue of the Hessian of the loss."""

    values: list[Finite] = Field(min_length=1, max_length=MOST_SEEDS, description="By seed.")
    border: Annotated[float, Field(gt=0, le=1e308)] | None = Field(
        None, description="The largest that the learning rate bears on a quadratic loss."
    )


class ExternalPreflight(SpecModel):
    """What a few batches and several seeds show without training."""

    seeds: list[Seed] = Field(max_length=MOST_SEEDS, description="Seeds of initialization and order of the batches.")
    batches: Count = Field(description="Batches whose gradients were taken, of each seed.")
    samples: Count = Field(description="Samples passed through the network, of each seed.")
    initial_losses: BySeed = Field(description="Mean loss over the batches.")
    losses_without_offset: BySeed = Field(
        default_factory=list, description="Loss without what the logits of all samples have in common."
    )
    gradient_norms: BySeed = Field(description="Median norm of the whole gradient over the batches.")
    losses_after_step: BySeed = Field(description="Loss after one step over the loss before.")
    gradient: ExternalDepthSlope | None = Field(None, description="Of the gradient, from the last layer back.")
    signal: ExternalDepthSlope | None = Field(None, description="Of the differences between samples.")
    born_dead: list[ExternalBornDead] = Field(default_factory=list, max_length=MOST_LAYERS, description="By layer.")
    alike: list[ExternalAlikeUnits] = Field(default_factory=list, max_length=MOST_LAYERS, description="By layer.")
    still_zero: list[Name] = Field(
        default_factory=list, max_length=MOST_LAYERS, description="Weights without a gradient, after a step too."
    )
    sharpness: ExternalSharpness | None = Field(None, description="Where the loss can be differentiated twice.")
    lr: Finite | None = Field(None, description="The learning rate of the first step.")
    rises: bool = Field(False, description="Whether the schedule raises it from there.")
    notes: list[Annotated[str, Field(max_length=2000)]] = Field(
        default_factory=list, max_length=1000, description="What could not be measured, and why."
    )
