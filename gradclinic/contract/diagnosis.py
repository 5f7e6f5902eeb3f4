"""What the system says about a run: findings, their causes, and the fixes that address them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.preflight import PreflightFacts

Severity = Literal["info", "warning", "critical"]
Health = Literal["healthy", "warning", "critical"]
Verdict = Literal["verified", "no_effect", "harmful", "inconclusive", "untested"]

RuleId = Literal[
    "vanishing_gradient", "exploding_gradient", "non_finite", "zero_gradient", "dead_units", "saturated_activations",
    "poor_initialization", "learning_rate_too_high", "learning_rate_too_low", "loss_not_decreasing", "oscillating_loss",
    "overfitting", "noisy_gradient", "unnormalized_input", "loss_mismatch", "gradient_clipped_away", "class_imbalance",
    "unchanged_weights", "training_error", "unnormalized_target", "over_regularized", "misplaced_activation",
    "undertrained",
]  # fmt: skip
"""The stable ids of all problems that have a name; `gradclinic.diagnosis.RULES` lists the rules that exist."""

FixKind = Literal[
    "learning_rate", "lr_schedule", "warmup", "gradient_clipping", "optimizer", "activation", "normalization",
    "initialization", "weight_decay", "l1", "dropout", "early_stopping", "residual", "dense_connections", "loss",
    "depth", "width", "gating", "input_scaling", "target_scaling", "batch_size", "training_length",
]  # fmt: skip
"""The stable kinds of fixes; `gradclinic.fixes.FIXES` lists those that exist."""

CauseKind = Literal["activation", "weights", "depth", "learning_rate", "data", "loss"]


class Metric(ResultModel):
    """A named value on the judged part of the data."""

    name: str = Field(description="accuracy, mae or r2.")
    value: float | None = Field(description="The value; null where it is not finite.")


class Outcome(ResultModel):
    """Where a training ended: the state after its last step, and the best one that was evaluated."""

    train_loss: float | None = Field(description="Mean training loss over the last epoch's worth of steps.")
    val_loss: float | None = Field(description="Validation loss after the last step.")
    metric: Metric | None = Field(description="The leading metric after the last step.")
    steps: int = Field(description="Optimizer steps done.")
    best_val_loss: float | None = Field(None, description="The smallest validation loss that was evaluated.")
    best_metric: float | None = Field(None, description="The best value of the leading metric that was evaluated.")
    best_step: int | None = Field(None, description="Steps done when the validation loss was smallest.")
    stopped_by: RuleId | None = Field(None, description="The finding that ended it early, as `diagnosis.stop_on` asks.")
    steps_saved: int = Field(0, description="Steps that were planned and not done, because a finding ended it.")


class Evidence(ResultModel):
    """A number that a finding rests on, beside the threshold it crossed."""

    signal: str = Field(description="The signal, or what was worked out from it.")
    value: float | None = Field(description="The value; null where it is not finite.")
    threshold: float | None = Field(None, description="The threshold it crossed.")
    step: int | None = Field(None, description="The step it was taken at; null where it is over all steps.")
    ci95: tuple[float, float] | None = Field(None, description="95 % confidence interval of the value, of an estimate.")
    layer: str | None = Field(None, description="The layer or parameter it belongs to.")
    words: str | None = Field(None, description="What was said, where the evidence is words: PyTorch's own error.")


class Cause(ResultModel):
    """What brings a finding about."""

    what: CauseKind = Field(description="The kind of cause.")
    detail: str = Field(description="The cause in a sentence, with its numbers.")
    share: float = Field(ge=0.0, le=1.0, description="Share of the effect that it explains.")
    confidence: float | None = Field(
        None, ge=0.0, le=1.0, description="How sure it is that this is the main cause; null where nobody worked it out."
    )


class Finding(ResultModel):
    """A rule that fired."""

    rule: RuleId = Field(description="The rule's stable id.")
    severity: Severity = Field(description="How much harm it does.")
    caused_by: RuleId | None = Field(None, description="The finding that it follows from.")
    first_step: int | None = Field(description="The step at which it first showed.")
    layers: list[str] = Field(default_factory=list, description="The layers it concerns, from input to output.")
    summary: str = Field(description="The finding in one plain sentence.")
    evidence: list[Evidence] = Field(default_factory=list, description="The numbers it rests on.")
    cause: Cause | None = Field(None, description="What brings it about, where that can be told.")


class Cost(ResultModel):
    """What a fix costs, as ratios of the patched spec to the unchanged one."""

    time: float | None = Field(None, description="Time of a training.")
    parameters: float | None = Field(None, description="Parameters.")


class Effect(ResultModel):
    """What a fix changed, over paired seeds: a higher number is better."""

    metric: str = Field(
        description="What was compared: accuracy, r2, mae_skill (1 - mae over that of a trivial predictor) or val_loss "
        "(as its fall below the trivial one). An outcome worse than the trivial predictor's counts as that one's."
    )
    baseline: float | None = Field(description="Mean of the unchanged spec over the seeds.")
    fixed: float | None = Field(description="Mean of the patched spec over the seeds.")
    difference_ci95: tuple[float, float] | None = Field(
        description="95 % confidence interval of the mean paired difference; null with fewer than two seeds."
    )
    p_value: float | None = Field(
        None, description="Of a two-sided paired t-test, corrected by Holm's method for all fixes judged together."
    )
    seeds: int = Field(description="Seeds on which both were trained.")
    healthy_seeds: int = Field(0, description="Seeds on which the patched spec was healthy.")
    findings_resolved: list[str] = Field(description="Findings of the unchanged spec that are gone on most seeds.")
    findings_introduced: list[str] = Field(description="Findings that are there on most seeds, and were not before.")
    cost: Cost = Field(default_factory=Cost, description="What the change costs.")


class Fix(ResultModel):
    """A change of the spec that addresses findings."""

    id: str = Field(description="Stable within the job.")
    kind: FixKind = Field(description="The kind of change; of a chain, that of its first link.")
    title: str = Field(description="The change in a few words.")
    addresses: list[RuleId] = Field(description="The findings it addresses.")
    patch: list[dict[str, Any]] = Field(description="JSON Patch (RFC 6902) of the posted spec.")
    why: str = Field(description="Why it should help, and when it does not.")
    references: list[str] = Field(default_factory=list, description="Papers and documents behind it.")
    verdict: Verdict = Field("untested", description="What the trial showed.")
    verdict_why: str | None = Field(None, description="The verdict in a sentence; null where it was not tried.")
    effect: Effect | None = Field(None, description="What the trial measured.")
    recommended: bool = Field(False, description="Whether this is the one to take.")
    chain: list[str] = Field(default_factory=list, description="Ids of the fixes that it is made of, of more than one.")


class Proof(ResultModel):
    """What was done to prove the fixes of a diagnosis."""

    test: str = Field(description="The statistical test behind the verdicts, in a sentence.")
    trials: int = Field(description="Trainings done, controls included.")
    rounds: int = Field(description="Rounds; in each the best fix of the one before is the new baseline.")
    cost: float = Field(description="Steps trained in all trials, in multiples of the baseline's.")
    budget: float = Field(description="The most that they might have cost, likewise.")
    recommendation: str = Field(description="What to do, in a sentence; says so where nothing helped.")


class Diagnosis(ResultModel):
    """A run's findings, the health that follows from them, and the fixes that address them."""

    health: Health = Field(description="The worst severity above info, else healthy.")
    outcome: Outcome | None = Field(description="Where the training ended.")
    findings: list[Finding] = Field(description="Worst first; what follows from another stands after it.")
    fixes: list[Fix] = Field(default_factory=list, description="Best first.")
    proof: Proof | None = Field(None, description="How the fixes were proven; null where none was tried.")
    preflight: PreflightFacts | None = Field(
        None, description="Of a job with 0 steps, what was measured; its findings are predictions. null of a training."
    )
    notes: list[str] = Field(default_factory=list, description="What could not be judged, and why.")
