"""A spec's model with every size worked out: what `POST /v1/specs/validate` answers.

Only what follows from the spec by itself stands here; nothing was trained or loaded for it.
"""

from __future__ import annotations

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.dataset import Task


class ResolvedLayer(ResultModel):
    """One posted layer. Where a `Repeat` holds it, its numbers are those of all turns together."""

    name: str = Field(description="The layer's name, the turns of a Repeat left out.")
    pointer: str = Field(description="JSON pointer of the layer in the spec.")
    type: str = Field(description="The torch.nn class, or the combinator.")
    input_shape: list[int] = Field(description="Shape of one sample going in, without the batch; in the first turn.")
    output_shape: list[int] = Field(description="Shape of one sample coming out, without the batch; in the first turn.")
    parameters: int = Field(description="Numbers in its own parameters, over all turns; not those of inner layers.")
    flops_per_step: int = Field(description="Of its own forward and backward pass on one batch, over all turns.")
    turns: int = Field(description="How often the layer stands in the network after unrolling.")


class ResolvedSpec(ResultModel):
    """A spec that is right, with what it will take."""

    layers: list[ResolvedLayer] = Field(description="Every posted layer, in the order of the spec.")
    input_shape: list[int] = Field(description="Shape of one sample, without the batch.")
    output_shape: list[int] = Field(description="Shape of the network's output for one sample, without the batch.")
    task: Task = Field(description="What the data ask for.")
    classes: int | None = Field(description="Number of classes; null in a regression.")
    loss: str = Field(description="The torch.nn loss class.")
    layers_unrolled: int = Field(description="Layers after unrolling, as limited.")
    parameters: int = Field(description="Numbers in all parameters.")
    trained_parameters: int = Field(description="Numbers in the parameters that are not frozen.")
    train_rows: int = Field(description="Samples to train on.")
    validation_rows: int = Field(description="Samples held out.")
    steps: int = Field(description="Optimizer steps of the whole training.")
    steps_per_epoch: int = Field(description="Optimizer steps in one pass over the training samples.")
    flops_per_step: int = Field(description="Forward and backward pass on one batch; backward counts twice.")
    flops: int = Field(description="Of the whole training, evaluations included.")
    memory_bytes: int = Field(description="Estimate of what the training holds at once.")
    seconds_estimate: float = Field(
        description="How long the training takes on one core, from its FLOPs and its steps; within a factor of ten."
    )
    trials_planned: int | None = Field(
        None,
        description="Trainings to prove fixes, if anything is to be mended: those of `verification.fixes` on all seeds, with "
        "controls. Hopeless ones end early, and there may be more of them; null where `all` are to be proven.",
    )
    trials_budget: float | None = Field(
        None,
        description="The most that those trainings cost together, in multiples of the training's own; likewise null.",
    )
    history_numbers: int = Field(description="Numbers that will be recorded at most.")
    history_bytes: int = Field(description="Estimate of what those take in the database.")
