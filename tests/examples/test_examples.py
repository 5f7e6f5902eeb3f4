"""The examples are right, and trained they show what their names promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradclinic.contract.parse import load_json, parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.fixes import apply_patch, propose_fixes
from gradclinic.model import resolve_spec
from gradclinic.training import train

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))


def load(name: str) -> Any:
    return load_json((EXAMPLES / f"{name}.json").read_bytes())


def test_there_are_the_three_that_the_documents_name():
    assert {"deep-sigmoid-digits", "exploding-normal-init", "healthy-digits"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_right_and_named_after_its_file(name: str):
    spec = parse_spec(load(name))
    assert spec.name == name
    assert resolve_spec(spec).steps > 0


@pytest.mark.slow
def test_the_healthy_one_is_healthy():
    spec = parse_spec(load("healthy-digits"))
    diagnosis = diagnose(train(spec).history)
    assert diagnosis.health == "healthy"
    assert diagnosis.outcome is not None
    assert diagnosis.outcome.metric is not None
    assert diagnosis.outcome.metric.value > 0.9


@pytest.mark.slow
def test_the_deep_sigmoid_net_vanishes_by_its_sigmoids_and_every_fix_applies():
    document = load("deep-sigmoid-digits")
    diagnosis = diagnose(train(parse_spec(document)).history)
    found = next(finding for finding in diagnosis.findings if finding.rule == "vanishing_gradient")
    assert diagnosis.health == found.severity == "critical"
    assert "layers.0" in found.layers
    assert found.cause is not None
    assert found.cause.what == "activation"
    assert "Sigmoid" in found.cause.detail
    fixes = propose_fixes(document, diagnosis)
    assert fixes
    for fix in fixes:
        resolve_spec(parse_spec(apply_patch(document, fix.patch)))


@pytest.mark.slow
def test_the_one_with_weights_of_deviation_one_explodes():
    diagnosis = diagnose(train(parse_spec(load("exploding-normal-init"))).history)
    assert diagnosis.health == "critical"
    assert {"exploding_gradient", "non_finite"} & {finding.rule for finding in diagnosis.findings}
