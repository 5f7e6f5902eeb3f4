"""Trials: the trainings that prove fixes, as they are asked for and as they came out."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import Diagnosis


class Trial(ResultModel):
    """A training that is to be done: a patched spec, or the unchanged one as a control, on one seed."""

    round: int = Field(description="The round of the proof, from 1.")
    fix: str | None = Field(description="Id of the fix that it tries; null for the unchanged spec.")
    seed: int = Field(description="Replaces the spec's own `training.seed`.")
    patch: list[dict[str, Any]] = Field(default_factory=list, description="What that changes in the posted spec.")
    document: dict[str, Any] = Field(description="The spec to train, in the form in which specs are posted.")


class Score(ResultModel):
    """What an evaluation found, as a number of which more is better and 0 is what a trivial predictor reaches."""

    step: int = Field(description="Steps done.")
    value: float


class TrialResult(ResultModel):
    """How one training came out, as far as verdicts need it; the baseline's has no round and no fix."""

    round: int = Field(0, description="The round of the proof; 0 for the baseline.")
    fix: str | None = Field(None, description="Id of the fix that was tried; null for the unchanged spec.")
    seed: int
    metric: str | None = Field(
        None, description="What `score` is of: accuracy, r2 or mae_skill; null without a metric."
    )
    score: float | None = Field(None, description="At the end, at least `floor`; null where there was no metric.")
    floor: float | None = Field(None, description="The score of a trivial predictor.")
    loss: str = Field(description="The loss and its keywords, as text: only of the same one are values compared.")
    val_skill: float | None = Field(
        None,
        description="1 - validation loss over that of a trivial predictor, at least 0; null where there is no ratio.",
    )
    resolution: float = Field(0.0, description="The smallest difference of the score that one validation sample makes.")
    scores: list[Score] = Field(default_factory=list, description="Along the training; a hundred at most.")
    steps: int = Field(description="Optimizer steps done.")
    planned: int = Field(description="Optimizer steps that the spec asks for.")
    samples: int = Field(description="Samples a step.")
    seconds: float = Field(description="Time it took.")
    parameters: int = Field(description="Parameters of the model.")
    hopeless: bool = Field(False, description="Whether it was ended early, because it could no longer win.")
    failed: str | None = Field(
        None, description="Why it could not be done; null where it was. Then nothing else counts."
    )
    diagnosis: Diagnosis = Field(description="Its own, with the fixes that were proposed for it.")
