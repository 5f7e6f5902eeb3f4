"""How long and how to train, what to record, how to judge, and how much to prove."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from gradclinic.contract.base import NonNegative, Number, Positive, Seed, Size, SpecModel, misfit

MetricName = Literal["accuracy", "mae", "r2"]

HIGHER_IS_BETTER: dict[str, bool] = {"accuracy": True, "mae": False, "r2": True}
"""Of every metric, which way it gets better. Of a loss, which is none, lower is better."""

DEFAULT_STEPS = 400

LEAST_SEEDS = 3
"""Pairs of trainings below which no difference is tested: with two a t-test has one degree of freedom, and hardly any power."""

ParameterSignal = Literal[
    "grad_norm", "grad_max", "grad_mean", "grad_std", "grad_zero_fraction", "grad_nonfinite", "weight_norm",
    "update_ratio",
]  # fmt: skip
"""The signals of a parameter."""

LayerSignal = Literal[
    "activation_mean", "activation_std", "dead_fraction", "saturated_fraction", "activation_grad_norm"
]  # fmt: skip
"""The signals of a layer's output."""

Signal = Literal[ParameterSignal, LayerSignal]
"""The signals of parameters and layers that have a schedule of their own."""

PARAMETER_SIGNALS: tuple[ParameterSignal, ...] = get_args(ParameterSignal)
LAYER_SIGNALS: tuple[LayerSignal, ...] = get_args(LayerSignal)
SIGNALS: tuple[Signal, ...] = (*PARAMETER_SIGNALS, *LAYER_SIGNALS)


Steps = Annotated[int, Field(ge=0, le=1_000_000)]
"""Optimizer steps. Unlike any other size they may be 0: then what comes before a training is looked at alone."""


class EarlyStopping(SpecModel):
    """When to end a training that has stopped getting better."""

    monitor: Literal["val_loss", "accuracy", "mae", "r2"] = Field("val_loss", description="What has to get better.")
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = Field(10, description="Evaluations without improvement.")
    min_delta: NonNegative = Field(0.0, description="What counts as an improvement.")
    restore_best: bool = Field(False, description="Put the weights back to the best evaluation's in the end.")


class Training(SpecModel):
    """The training loop."""

    steps: Steps | None = Field(
        None,
        description=f"Optimizer steps; {DEFAULT_STEPS} if epochs is not given either. 0 trains nothing: a preflight, which foresees "
        "what it can from a few batches and several seeds.",
    )
    epochs: Size | None = Field(None, description="Passes over the training part, instead of steps.")
    batch_size: Size = Field(64, description="Samples a step.")
    seed: Seed = Field(0, description="Seed of the initialization, the order of the batches and dropout.")
    clip_grad_norm: Positive | None = Field(None, description="Clip the norm of the whole gradient to this.")
    clip_grad_value: Positive | None = Field(None, description="Clip each element of the gradient to this.")
    l1: NonNegative = Field(0.0, description="Weight of the sum of absolute weights in the loss.")
    evaluate_every: Size | None = Field(None, description="Steps between evaluations; once an epoch by default.")
    metrics: Annotated[tuple[MetricName, ...], Field(strict=False, min_length=1, max_length=3)] | None = Field(
        None, description="What to evaluate beside the loss, the first one leading; by default what fits the loss."
    )
    early_stopping: EarlyStopping | None = Field(None, description="When to end before the last step.")
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]{1,2})?)$")] = Field(
        "cpu", description="Where to train: cpu, cuda or cuda:N."
    )

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> Training:
        if self.steps is not None and self.epochs is not None:
            message = "Both steps and epochs are given, and they can contradict each other."
            raise misfit(message, at="epochs", expected="one of steps and epochs")
        return self

    @property
    def is_preflight(self) -> bool:
        """Whether nothing is trained."""
        return self.steps == 0

    def total_steps(self, train_rows: int, *, join_single: bool = False) -> int:
        """Return the optimizer steps of the whole training over `train_rows` rows; see `steps_per_epoch`."""
        if self.epochs is not None:
            return self.epochs * self.steps_per_epoch(train_rows, join_single=join_single)
        return self.steps if self.steps is not None else DEFAULT_STEPS

    def steps_per_epoch(self, train_rows: int, *, join_single: bool = False) -> int:
        """Return the number of batches in one pass, the last partial one included.

        With `join_single` a last batch of one sample is joined to the one before it.
        """
        joined = join_single and train_rows > self.batch_size > 1 and train_rows % self.batch_size == 1
        return -(-train_rows // self.batch_size) - joined


class Recording(SpecModel):
    """What to record, and how often."""

    every: Size = Field(1, description="Multiplies the schedule of every signal.")
    signals: dict[Signal, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=dict, description="Steps between two records of one signal; 0 leaves it out."
    )


class DiagnosisOptions(SpecModel):
    """How to judge."""

    thresholds: dict[str, Number] = Field(
        default_factory=dict, description="Overrides thresholds by name; `GET /v1/rules` lists them."
    )
    stop_on: Literal["critical"] | None = Field(
        None, description="End the training at the step at which a finding of this severity is certain."
    )


class Verification(SpecModel):
    """How many of the proposed fixes to prove by retraining."""

    fixes: Annotated[int, Field(ge=0, le=100)] | Literal["all"] = Field(
        3, description="Fixes to prove, the best first; 0 for none, `all` for every one that is proposed."
    )
    seeds: Annotated[int, Field(ge=2, le=20)] = Field(3, description="Seeds to prove each on.")
    budget: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        None,
        description="What all trials may cost together, in multiples of the baseline's steps; by default what every fix on "
        "every seed with all controls would cost: (fixes + 2) * seeds - 1, with at least three seeds.",
    )

    def trials_at_most(self, proposed: int | None = None) -> int | None:
        """Return how many trainings of full length a proof comes to: every fix and a learning rate alone on all seeds, and controls.

        `proposed` is how many fixes there are; before that is known, what `all` comes to is not: None.
        """
        if self.fixes == 0:
            return 0
        if proposed is None and not isinstance(self.fixes, int):
            return None
        counts = [count for count in (self.fixes, proposed) if isinstance(count, int)]
        return (min(counts) + 2) * max(self.seeds, LEAST_SEEDS) - 1
