"""What can be asked for and what can be found: the entries of the catalogues of rules, fixes and layers."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import Field

from gradclinic.contract import activations
from gradclinic.contract.base import ResultModel
from gradclinic.contract.diagnosis import FixKind, RuleId
from gradclinic.contract.layer import LayerSpec
from gradclinic.contract.layers import AnyLayer, Combinator


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
    foresees: str | None = Field(
        None, description="What it says before any training, of a job with 0 steps; null where it takes a training."
    )
    source: str
    signals: list[str] = Field(description="The signals it needs.")
    thresholds: list[ThresholdInfo]


class FixRecord(ResultModel):
    """What was measured of a kind of fix for one finding, over all stored jobs."""

    rule: RuleId
    tries: int = Field(description="Fixes whose verdict is settled: verified, no_effect or harmful.")
    helped: int = Field(description="Of them, verified.")
    harmed: int = Field(description="Of them, harmful.")
    median_effect: float | None = Field(
        description="Median difference of the outcome, patched over unchanged spec; null where none was measured."
    )


class FixInfo(ResultModel):
    """A kind of fix, as its own documentation tells it."""

    kind: FixKind
    title: str
    applies: str = Field(description="When it applies.")
    changes: str = Field(description="What it changes in the spec.")
    fails: str = Field(description="When it is known not to help.")
    addresses: list[RuleId]
    references: list[str]
    costs: str = Field("", description="What it costs.")
    measured: list[FixRecord] = Field(default_factory=list, description="What was measured of it here, by finding.")


class LayerInfo(ResultModel):
    """A layer type and its keywords."""

    type: str
    summary: str
    group: str = Field(description="activation, normalization, combinator, ...")
    json_schema: dict[str, Any] = Field(description="JSON Schema of the layer's keywords.")


def layer_catalogue(definitions: str = "#/$defs/{model}") -> list[LayerInfo]:
    """List every layer. `definitions` says where the schemas stand that a layer's schema refers to."""
    return [_layer_info(layer, definitions) for layer in get_args(AnyLayer)]


def _layer_info(layer: type[LayerSpec], definitions: str) -> LayerInfo:
    schema = layer.model_json_schema(ref_template=definitions)
    own = schema.pop("$defs", {}).get(layer.__name__, schema)  # a layer that can hold itself refers to its own schema
    return LayerInfo(
        type=layer.__name__, summary=(layer.__doc__ or "").strip(), group=_group_of(layer), json_schema=own
    )


def _group_of(layer: type[LayerSpec]) -> str:
    """Return the kind of a layer: the module it stands in, where that says it."""
    if layer in get_args(Combinator):
        return "combinator"
    return "activation" if layer.__module__ == activations.__name__ else layer.__module__.rpartition(".")[2]
