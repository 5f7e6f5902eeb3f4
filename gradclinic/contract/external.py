"""Runs from outside: what is said when a training in a user's own loop begins and when it ends, and how much it may record.

Facts are those of `gradclinic.history.RunFacts`, strict and bounded here, because strangers send them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gradclinic.contract.base import Probability, SpecModel
from gradclinic.contract.diagnosis import RuleId
from gradclinic.contract.external_preflight import ExternalPreflight
from gradclinic.contract.spec import LabelKey, LabelValue
from gradclinic.contract.training import DiagnosisOptions

LAST_STEP = 2**31 - 2
"""The largest step that can be recorded: the number of steps has to fit into the tables, too."""

MAX_CHUNK_NUMBERS = 4_000_000
"""Numbers in one chunk of a history: 32 MB in memory."""

MAX_COLUMNS = 100_000
"""Columns in one run: what about 5,000 layers have."""

LEAST_COUNTED = 100
"""Numbers that a signal counts as at least in each chunk, where it is limited how many may be held: what the rows take that
it is kept in, however little is in them.
"""

MAX_SIGNALS = 200
"""Signals of one run: ours, and the names that a user's loop records."""

MAX_SUBJECT = 300
"""Characters in the name of a layer or parameter."""

SIGNAL_NAME = r"[A-Za-z_][A-Za-z0-9_.:@-]{0,99}"
"""What a signal may be called. No slash, which parts a layer from its signal in a column's name, and no comma."""

Text = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(max_length=MAX_SUBJECT)]
Steps = Annotated[int, Field(ge=0, le=LAST_STEP + 1)]
Note = Annotated[str, Field(max_length=2000)]
Loss = Annotated[float, Field(ge=-1e308, le=1e308)]
Scale = Annotated[float, Field(gt=0, le=1e308)]


class ExternalLayer(SpecModel):
    """One module whose output was watched."""

    name: Name = Field(description="The layer's name, as in the signals.")
    type: Text = Field(description="The torch.nn class.")
    parameters: list[Name] = Field(default_factory=list, max_length=10_000, description="Names of its own parameters.")
    on_trunk: bool = Field(True, description="Whether every gradient to earlier layers passes through it.")
    calls: Steps = Field(1, description="How often it is called in one forward pass.")
    weight_shape: list[Steps] | None = Field(None, max_length=16, description="Shape of its weight.")
    alike_units: Probability | None = Field(None, description="Share of its units that begin as copies of another.")
    time_gain: Loss | None = Field(
        None, description="Of a recurrent layer at the start: the gradient at its first input over that at its last."
    )


class ExternalTrivial(SpecModel):
    """What a predictor reaches that ignores its input."""

    train_loss: Loss | None = Field(None, description="Its training loss.")
    val_loss: Loss | None = Field(None, description="Its validation loss.")
    metric: Loss | None = Field(None, description="Its value of the leading metric.")


class ExternalInputs(SpecModel):
    """The inputs of the training part, as the model gets them."""

    largest_scale: Scale = Field(description="Root mean square of the largest feature.")
    smallest_scale: Scale = Field(description="Root mean square of the smallest feature that is not always 0.")


class ExternalTargets(SpecModel):
    """The targets of the training part."""

    lowest: Loss | None = Field(None, description="The smallest number; null for classes.")
    highest: Loss | None = Field(None, description="The largest number; null for classes.")
    scale: Loss | None = Field(None, description="Root mean square; null for classes.")
    class_shares: list[Probability] = Field(
        default_factory=list, max_length=100_000, description="Share of each class; empty for numbers."
    )


class ExternalRestraint(SpecModel):
    """What holds weights back on purpose."""

    weight_decay: Loss = Field(0.0, description="The optimizer's.")
    is_decoupled: bool = Field(False, description="Whether it is taken from the weights directly, as in AdamW.")
    l1: Loss = Field(0.0, description="Weight of the sum of absolute weights in the loss.")
    dropout: Probability = Field(0.0, description="The largest probability of a dropout layer.")


class ExternalMetric(SpecModel):
    """A named value on the judged part of the data."""

    name: Text = Field(description="accuracy, mae, r2, or a name of your own.")
    value: Loss | None = Field(description="The value; null where it is not finite.")


class ExternalOutcome(SpecModel):
    """Where a training ended."""

    train_loss: Loss | None = Field(None, description="Mean training loss over the last epoch; null if not finite.")
    val_loss: Loss | None = Field(None, description="Validation loss after the last step; null if not finite.")
    metric: ExternalMetric | None = Field(None, description="The leading metric after the last step.")
    steps: Steps = Field(description="Optimizer steps done.")
    best_val_loss: Loss | None = Field(None, description="The smallest validation loss that was evaluated.")
    best_metric: Loss | None = Field(None, description="The best value of the leading metric.")
    best_step: Steps | None = Field(None, description="Steps done when the validation loss was smallest.")
    stopped_by: RuleId | None = Field(None, description="The finding that ended it early.")
    steps_saved: Steps = Field(0, description="Steps that were planned and not done for that reason.")


class ExternalError(SpecModel):
    """What was raised in the middle of a training."""

    step: Steps = Field(description="The step in which it was raised.")
    type: Text = Field(description="The Python class of the error.")
    message: str = Field(max_length=10_000, description="Its own words.")


class ExternalFacts(SpecModel):
    """What is known of a run beside its signals. All of it is optional; what is missing is not judged by."""

    layers: list[ExternalLayer] = Field(
        default_factory=list, max_length=20_000, description="In the order of the forward pass."
    )
    optimizer: Text | None = Field(None, description="The torch.optim class.")
    loss: Text | None = Field(None, description="The torch.nn loss class.")
    task: Literal["classification", "regression"] | None = Field(None, description="What is learned.")
    metric: Text | None = Field(None, description="The leading metric.")
    steps_planned: Steps | None = Field(None, description="Optimizer steps that the training is to have.")
    steps_per_epoch: Steps | None = Field(None, description="Optimizer steps in one pass over the data.")
    batch_size: Steps | None = Field(None, description="Samples a step.")
    judged_samples: Steps | None = Field(None, description="Samples of the part that evaluations judge.")
    parameters: Annotated[int, Field(ge=0)] | None = Field(None, description="Parameters, frozen ones included.")
    rate_is_constant: bool | None = Field(None, description="Whether nothing changes the learning rate.")
    noise_scale: Loss | None = Field(
        None, description="Samples at which gradient and noise are equally large, at the end."
    )
    inputs: ExternalInputs | None = Field(None, description="What the model gets.")
    targets: ExternalTargets | None = Field(None, description="What it is to give.")
    restraint: ExternalRestraint | None = Field(None, description="What holds its weights back.")
    trivial: ExternalTrivial = Field(default_factory=ExternalTrivial, description="What ignoring the input reaches.")
    outcome: ExternalOutcome | None = Field(None, description="Where the training ended.")
    preflight: ExternalPreflight | None = Field(None, description="What was looked at before a training that was none.")
    error: ExternalError | None = Field(None, description="What was raised in the middle of it.")
    gradients_measured: Literal["before_clipping", "at_optimizer_step"] | None = Field(
        None, description="Whether the loop said where to measure, or gradients are as the optimizer got them."
    )
    recorder_kernel: Literal["compiled", "torch"] | None = Field(None, description="What read gradients and weights.")
    notes: list[Note] = Field(
        default_factory=list, max_length=1000, description="What could not be recorded, in words."
    )


class NewRun(SpecModel):
    """A training in a loop of the user's own, as it begins."""

    name: str | None = Field(None, max_length=200, description="A name to find the run by.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Free keys and values to filter by."
    )
    facts: ExternalFacts = Field(default_factory=ExternalFacts, description="What is known of it already.")
    diagnosis: DiagnosisOptions = Field(default_factory=DiagnosisOptions, description="How to judge it at its end.")


class FinishedRun(SpecModel):
    """How a training in a user's own loop ended."""

    status: Literal["succeeded", "failed"] = Field("succeeded", description="failed: it raised, or was broken off.")
    outcome: ExternalOutcome | None = Field(None, description="Where it ended, where that is known.")
    error: ExternalError | None = Field(None, description="What was raised.")
    facts: ExternalFacts | None = Field(None, description="What is known of it now, in place of what was known.")
