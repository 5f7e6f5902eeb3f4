"""How a history that is there already is to be judged once more."""

from __future__ import annotations

from pydantic import Field

from gradclinic.contract.base import Number, SpecModel


class Judgement(SpecModel):
    """Thresholds to judge a run's history by, in place of those that it was judged by."""

    thresholds: dict[str, Number] = Field(
        default_factory=dict,
        description="Overrides thresholds by name, on top of the run's own; `GET /v1/rules` lists them.",
    )
