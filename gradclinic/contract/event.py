"""The events of a job, as `GET /v1/jobs/{id}/events` streams them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import EarlyFinding, JobError, JobStatus, Progress


class StatusEvent(ResultModel):
    """The job has another status, or its health is known. One that lasted shorter than a look is left out."""

    event: Literal["status"] = "status"
    status: JobStatus
    health: Health | None = Field(description="The baseline's; null until it is diagnosed.")
    attempt: int = Field(
        description="How often a worker took it up: a new one begins with no progress and no findings."
    )


class ProgressEvent(ResultModel):
    """The job is farther than before."""

    event: Literal["progress"] = "progress"
    progress: Progress


class FindingEvent(ResultModel):
    """Something was found: early, where it was certain, and the rest with the diagnosis. Each finding comes once an attempt."""

    event: Literal["finding"] = "finding"
    finding: EarlyFinding


class EndEvent(ResultModel):
    """The job has ended. It is the last event."""

    event: Literal["end"] = "end"
    status: JobStatus
    health: Health | None
    error: JobError | None


JobEvent = Annotated[StatusEvent | ProgressEvent | FindingEvent | EndEvent, Field(discriminator="event")]
"""Any event of a job."""
