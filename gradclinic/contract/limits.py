"""How much one job may ask for. Every limit is worked out from the spec before anything of that size is made.

The defaults suit a machine of two cores and 24 GB; a deployment sets its own. Who checks them is
`gradclinic.model.limits`.
"""

from __future__ import annotations

from pydantic import Field

from gradclinic.contract.base import Positive, SpecModel

MIB = 1024 * 1024


class Limits(SpecModel):
    """The most that one spec may ask for; a spec that asks for more is refused with the figure and the limit."""

    max_layers: int = Field(1000, ge=1, description="Layers after unrolling, combinators that compute included.")
    max_parameters: int = Field(20_000_000, ge=1, description="Numbers in all parameters.")
    max_memory: int = Field(4096 * MIB, ge=1, description="Bytes that one training is estimated to hold at once.")
    max_flops: float = Field(
        2e14, gt=0, description="Floating point operations of the whole training, evaluations included: about an hour."
    )
    max_seconds: Positive = Field(3600.0, description="Seconds that one training is estimated to take on one core.")
    max_sequence: int = Field(
        5_000,
        ge=1,
        description="Steps of a sequence in a recurrent layer or an attention: a recurrent one takes them one by one.",
    )
    max_steps: int = Field(100_000, ge=1, description="Optimizer steps.")
    max_batch: int = Field(10_000_000, ge=1, description="Numbers in the inputs of one batch.")
    max_data: int = Field(50_000_000, ge=1, description="Numbers in all samples, inputs and targets.")
    max_history: int = Field(50_000_000, ge=1, description="Numbers recorded: steps x layers and parameters x signals.")
    max_trials: int = Field(
        200,
        ge=1,
        description="What the proof of the fixes may cost, in trainings of the posted spec's length: its budget, or what all "
        "fixes on all seeds come to.",
    )
    resolve_seconds: Positive = Field(5.0, description="Seconds that working out a model's shapes may take.")


DEFAULT_LIMITS = Limits()
"""The limits where nobody set any."""
