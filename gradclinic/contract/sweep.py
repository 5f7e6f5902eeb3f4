"""Sweeps: one spec under many values. What is posted, and the table that comes back.

Making the combinations is `gradclinic.contract.combinations`'s business.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gradclinic.contract.base import ResultModel, misfit
from gradclinic.contract.diagnosis import Health, Outcome, RuleId
from gradclinic.contract.job import JobStatus
from gradclinic.contract.naming import escape, keys_of
from gradclinic.contract.spec import JobSpec

SweepStatus = Literal["live", "ended"]


def _leads_into_a_spec(place: str) -> str:
    keys = keys_of(place)
    if not keys or place != "".join(f"/{escape(key)}" for key in keys):
        raise misfit(
            f"{place[:80]!r} is no JSON pointer.", expected="a JSON pointer into the spec, such as /optimizer/lr"
        )
    if keys[0] == "sweep":
        raise misfit("A sweep does not sweep over itself.", expected="a JSON pointer into the spec")
    return place


Pointer = Annotated[str, Field(max_length=500), AfterValidator(_leads_into_a_spec)]
"""Where in the spec a value goes (RFC 6901)."""

Axes = Annotated[
    dict[Pointer, Annotated[list[Any], Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=16)
]
"""The values to try at each place."""


class SweepSpec(JobSpec):
    """A spec with a sweep beside it: one job for each combination of values."""

    sweep: Axes = Field(
        description="The values to try, under JSON pointers into the spec: each of the first with each of the second, "
        "and so on, the last one changing fastest. What they lead to need not be there."
    )


class SweepRow(ResultModel):
    """One combination, and what came of it."""

    number: int = Field(description="Its place in the product of all values, from 0.")
    values: dict[str, Any] = Field(description="Its value at each pointer.")
    job: str | None = Field(description="Its job; null if that was deleted.")
    status: JobStatus | None = Field(description="The job's status.")
    health: Health | None = Field(description="The baseline's; null until it is diagnosed.")
    outcome: Outcome | None = Field(description="Where the baseline ended; null until it is trained.")
    findings: list[RuleId] = Field(description="The rules that fired, worst first.")


class SweepSummary(ResultModel):
    """A sweep without its table."""

    id: str
    name: str | None = Field(description="The spec's name.")
    status: SweepStatus = Field(description="live as long as one of its jobs is.")
    jobs: dict[JobStatus, int] = Field(description="How many jobs have which status.")
    sweep: dict[str, list[Any]] = Field(description="The values under their pointers, as posted.")
    created_at: datetime
    links: dict[str, str] = Field(default_factory=dict)


class Sweep(SweepSummary):
    """One spec under many values, and the table that compares what came of them."""

    spec: dict[str, Any] = Field(description="The spec as posted, without the sweep.")
    compared_by: str | None = Field(
        description="What the combinations are compared by: the metric they share, else val_loss; null where they share "
        "none, as where the loss itself is swept."
    )
    best: str | None = Field(description="The job of the best combination that is trained; of equals the first.")
    rows: list[SweepRow] = Field(description="A row a combination, in the order of the product or best first.")
