"""What a run from outside is said to be: every fact that we know can be sent, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from gradclinic.contract import external, external_preflight
from gradclinic.contract.diagnosis import Metric, Outcome
from gradclinic.contract.external import ExternalFacts, FinishedRun, NewRun
from gradclinic.contract.parse import parse_document
from gradclinic.contract.preflight import AlikeUnits, BornDead, DepthSlope, PreflightFacts, Sharpness
from gradclinic.errors import InvalidSpec
from gradclinic.history import LayerFacts, RunError, RunFacts, Trivial

FACTS = RunFacts(
    layers=[LayerFacts(name="0", type="Linear", parameters=["0.weight"], weight_shape=[3, 4])],
    optimizer="SGD",
    loss="CrossEntropyLoss",
    task="classification",
    metric="accuracy",
    steps_planned=10,
    steps_per_epoch=5,
    trivial=Trivial(train_loss=1.0, val_loss=2.0, metric=0.1),
    outcome=Outcome(train_loss=float("nan"), val_loss=1.0, metric=Metric(name="accuracy", value=0.5), steps=10),
    preflight=PreflightFacts(
        seeds=[0, 1],
        batches=8,
        samples=512,
        initial_losses=[2.3, float("nan")],
        gradient_norms=[1.0, 1.0],
        losses_after_step=[0.9, 0.8],
        gradient=DepthSlope(per_layer=-0.6, ci95=(-0.7, -0.5), layers=12),
        born_dead=[BornDead(layer="1", shares=[0.5, 1.0])],
        alike=[AlikeUnits(layer="0", share=1.0)],
        still_zero=["0.weight"],
        sharpness=Sharpness(values=[3.0, -1.0], border=20.0),
        lr=0.1,
    ),
    error=RunError(step=3, type="RuntimeError", message="sizes"),
    gradients_measured="before_clipping",
    recorder_kernel="torch",
    notes=["Nothing of 0.bias."],
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RunFacts, external.ExternalFacts),
        (LayerFacts, external.ExternalLayer),
        (Trivial, external.ExternalTrivial),
        (Outcome, external.ExternalOutcome),
        (Metric, external.ExternalMetric),
        (RunError, external.ExternalError),
        (PreflightFacts, external_preflight.ExternalPreflight),
        (DepthSlope, external_preflight.ExternalDepthSlope),
        (BornDead, external_preflight.ExternalBornDead),
        (AlikeUnits, external_preflight.ExternalAlikeUnits),
        (Sharpness, external_preflight.ExternalSharpness),
    ],
)
def test_whatever_is_known_of_a_run_can_be_sent(ours: type[BaseModel], theirs: type[BaseModel]):
    assert set(ours.model_fields) == set(theirs.model_fields)


def test_facts_come_back_as_they_were():
    received = parse_document(ExternalFacts, json.loads(FACTS.model_dump_json()))
    assert RunFacts.model_validate(received.model_dump()).model_dump_json() == FACTS.model_dump_json()


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"name": "x" * 201}, "/name"),
        ({"name": "\0"}, "/name"),
        ({"labels": {"a b": "c"}}, "/labels/a b"),
        ({"facts": {"layers": [{"name": "x" * 301, "type": "Linear"}]}}, "/facts/layers/0/name"),
        ({"facts": {"layers": [{"name": "\ud800", "type": "Linear"}]}}, "/facts/layers/0/name"),
        ({"facts": {"steps_planned": -1}}, "/facts/steps_planned"),
        ({"facts": {"steps_planned": 10**30}}, "/facts/steps_planned"),
        ({"facts": {"steps_planned": 1.5}}, "/facts/steps_planned"),
        ({"facts": {"task": "magic"}}, "/facts/task"),
        ({"facts": {"weights": []}}, "/facts/weights"),
        ({"facts": {"outcome": {}}}, "/facts/outcome/steps"),
        ({"diagnosis": {"thresholds": {"vanishing_gain": "small"}}}, "/diagnosis/thresholds/vanishing_gain"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(document: dict[str, Any], pointer: str):
    with pytest.raises(InvalidSpec) as raised:
        parse_document(NewRun, document)
    assert [fault.pointer for fault in raised.value.faults] == [pointer]


def test_an_empty_document_is_enough():
    assert parse_document(NewRun, {}).facts == ExternalFacts()
    assert parse_document(FinishedRun, {}).status == "succeeded"
