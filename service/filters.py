"""The filters of the list of jobs, as they stand in the query."""

from __future__ import annotations

from pydantic import Field, field_validator

from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import Job, JobStatus, Page
from service.query import Paging, in_query
from store.jobs import list_jobs
from store.transactions import Reader


def check_labels(labels: list[str]) -> list[str]:
    """Refuse labels to filter by that are not `key:value`, or have a key twice."""
    if any(":" not in label for label in labels):
        raise ValueError("key:value, such as team:vision")
    if len({label.split(":", 1)[0] for label in labels}) < len(labels):
        raise ValueError("each key once")
    return labels


class Filters(Paging):
    """Which jobs, and how many at once."""

    status: JobStatus | None = Field(None, description="Only jobs with this status.")
    health: Health | None = Field(None, description="Only jobs with this health.")
    name: str | None = Field(None, max_length=200, description="Only jobs with this name.")
    sweep: str | None = Field(None, max_length=100, description="Only jobs of this sweep.")
    label: list[str] = Field(
        default_factory=list, max_length=32, description="Only jobs with this label, `key:value`; all of several."
    )

    _checked = field_validator("label")(check_labels)

    def list_jobs(self, reader: Reader) -> Page[Job]:
        """Return the page that these filters ask for.

        Raises:
            InvalidParameter: The cursor is none of ours, or a text cannot be looked for.
        """
        labels = dict(label.split(":", 1) for label in self.label)
        with in_query():
            return list_jobs(reader, labels=labels, **self.model_dump(exclude={"label"}))
