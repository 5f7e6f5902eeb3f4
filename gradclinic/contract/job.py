"""Jobs and runs as a client sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import Health, Outcome, RuleId, Severity

JobStatus = Literal["queued", "training", "verifying", "succeeded", "failed", "cancelled"]
RunStatus = Literal["queued", "training", "succeeded", "failed", "cancelled"]
RunKind = Literal["baseline", "trial", "external"]

LIVE: frozenset[JobStatus] = frozenset({"queued", "training", "verifying"})
"""The statuses of a job that has not ended."""

ItemT = TypeVar("ItemT")


class EarlyFinding(ResultModel):
    """A finding that is certain although the training goes on."""

    rule: RuleId
    severity: Severity
    step: int = Field(description="Steps done when it became certain.")
    summary: str = Field(description="The finding in one plain sentence.")


class Progress(ResultModel):
    """How far a job is."""

    step: int = Field(0, description="Optimizer steps done.")
    steps: int = Field(description="Optimizer steps in all.")
    trials: int = Field(0, description="Trials done.")
    trials_planned: int = Field(0, description="Trials in all, as planned so far: hopeless fixes get fewer.")
    findings: list[EarlyFinding] = Field(default_factory=list, description="What is certain before the end.")


class JobError(ResultModel):
    """Why the analysis could not be done."""

    type: str = Field(description="A stable name: worker_lost, out_of_memory, invalid_spec, internal_error.")
    title: str = Field(description="The error in a few words.")
    detail: str = Field(description="What happened, and what to do.")


class Job(ResultModel):
    """One submitted spec and all that follows from it."""

    id: str
    name: str | None
    labels: dict[str, str]
    status: JobStatus = Field(description="succeeded: the analysis is complete, also when the training diverged.")
    health: Health | None = Field(description="The baseline's; null until it is diagnosed.")
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    spec: dict[str, Any] = Field(description="The spec as posted.")
    sweep: str | None = Field(None, description="The sweep that it belongs to.")
    cancel_requested: bool = Field(False, description="Whether it was asked to stop.")
    attempt: int = Field(0, description="How often a worker took it up.")
    version: int = Field(1, description="Counts changes; the ETag follows from it.")
    links: dict[str, str] = Field(default_factory=dict)


class Run(ResultModel):
    """One training."""

    id: str
    job_id: str | None = Field(description="The job it belongs to; null for an external one.")
    kind: RunKind
    status: RunStatus
    health: Health | None
    name: str | None = Field(None, description="Its own where it is external, else its job's.")
    labels: dict[str, str] = Field(default_factory=dict, description="Likewise.")
    seed: int | None = Field(description="null for an external run, whose seed nobody told.")
    fix: str | None = Field(
        None, description="Of a trial, the id of the fix that it tries; null for the unchanged spec on another seed."
    )
    round: int | None = Field(None, description="Of a trial, the round of the proof, from 1.")
    steps_done: int = Field(description="Steps whose history is stored.")
    chunks: int | None = Field(
        None, description="Of an external run, how many chunks of its history were received: the number of the next."
    )
    outcome: Outcome | None
    error: JobError | None = Field(None, description="Why it could not be done, where it failed.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str] = Field(default_factory=dict)


class Page(ResultModel, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")
