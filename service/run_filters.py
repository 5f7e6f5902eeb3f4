"""The filters of the list of runs, as they stand in the query."""

from __future__ import annotations

from pydantic import Field, field_validator

from gradclinic.contract.job import Page, Run, RunKind, RunStatus
from service.filters import check_labels
from service.query import Paging, in_query
from store.runs import list_runs
from store.transactions import Reader


class RunFilters(Paging):
    """Which runs, and how many at once."""

    kind: RunKind | None = Field(None, description="Only runs of this kind.")
    status: RunStatus | None = Field(None, description="Only runs with this status.")
    name: str | None = Field(None, max_length=200, description="Only runs with this name, their own or their job's.")
    label: list[str] = Field(
        default_factory=list, max_length=32, description="Only runs with this label, `key:value`; all of several."
    )

    _checked = field_validator("label")(check_labels)

    def list_runs(self, reader: Reader) -> Page[Run]:
        """Return the page that these filters ask for.

        Raises:
            InvalidParameter: The cursor is none of ours, or a text cannot be looked for.
        """
        labels = dict(label.split(":", 1) for label in self.label)
        with in_query():
            return list_runs(reader, labels=labels, **self.model_dump(exclude={"label"}))
