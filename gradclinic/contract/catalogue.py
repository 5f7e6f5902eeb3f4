"""What can be asked for and what can be found: the entries of the catalogues of rules, fixes and layers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import FixKind, RuleId


class ThresholdInfo(ResultModel):
    """A number that decides whether a rule fires."""

    name: str = Field(description="Its name in `diagnosis.thresholds`.")
    default: float
    meaning: str
    source: str = Field(description="The paper, or the measurement, that it comes from.")


class RuleInfo(ResultModel):
    """A rule, as its own documentation tells it."""

    id: RuleId
    title: str
    sees: str
    hurts: str = Field(description="Why the problem hurts.")
    silent: str = Field(description="When the rule stays silent.")
    source: str
    signals: list[str] = Field(description="The signals it needs.")
    thresholds: list[ThresholdInfo]


class FixInfo(ResultModel):
    """A kind of fix, as its own documentation tells it."""

    kind: FixKind
    title: str
    applies: str = Field(description="When it applies.")
    fails: str = Field(description="When it is known not to help.")
    addresses: list[RuleId]
    references: list[str]


class LayerInfo(ResultModel):
    """A layer type and its keywords."""

    type: str
    summary: str
    group: str = Field(description="activation, normalization, combinator, ...")
    json_schema: dict[str, Any] = Field(description="JSON Schema of the layer's keywords.")
