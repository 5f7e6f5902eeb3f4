"""What holds for every fix of every spec."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, assume, given, settings

from gradclinic.contract.diagnosis import Finding, Fix
from gradclinic.contract.naming import pointer
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.fixes import Measured, propose_fixes
from gradclinic.fixes.evidence import is_broken_from_the_start
from gradclinic.fixes.posted import read_posted
from gradclinic.model import resolve_spec
from tests.gradclinic.fixes.shaped import image_specs, sequence_specs
from tests.gradclinic.fixes.sick import ALL_RULES, diagnosis, findings, specs

ALL_SPECS = specs() | image_specs() | sequence_specs()

OF_THE_END = {"loss", "target_scaling"}
"""Kinds that change what stands behind the last layer with weights, and belongs to the loss."""

EXAMPLES = settings(
    max_examples=100,
    deadline=None,  # resolving a model takes as long as it takes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],  # specs are large, and not all resolve
)


@pytest.mark.slow
@EXAMPLES
@given(ALL_SPECS, findings(ALL_RULES))
def test_every_patch_gives_a_spec_whose_shapes_meet_and_leaves_the_end_alone(
    document: dict[str, Any], found: list[Finding]
) -> None:
    assume(_resolves(document))
    before = copy.deepcopy(document)
    for fix in propose_fixes(document, diagnosis(*found), measured=Measured(class_shares=[0.9, 0.1])):
        patched = jsonpatch.apply_patch(document, fix.patch)
        assert _resolves(patched), fix
        assert fix.kind in OF_THE_END or _end(patched) == _end(document), fix
        assert patched != document
    assert document == before


@EXAMPLES
@given(specs(), findings())
def test_each_finding_gets_a_fix_and_no_useless_one(document: dict[str, Any], found: list[Finding]) -> None:
    fixes = propose_fixes(document, diagnosis(*found))
    heard = [finding for finding in found if finding.severity != "info"]
    assert {rule for fix in fixes for rule in fix.addresses} <= {finding.rule for finding in heard}
    for finding in heard:
        assert any(finding.rule in fix.addresses for fix in fixes) or _allows_none(document, finding, heard)
    if {finding.rule for finding in heard} <= {"vanishing_gradient", "loss_not_decreasing"}:
        assert "gradient_clipping" not in _kinds(fixes)
    if len(heard) == 1 and heard[0].rule == "vanishing_gradient" and not _is_overshoot(heard[0]):
        assert "learning_rate" not in _kinds(fixes)


@EXAMPLES
@given(specs(), findings())
def test_the_same_job_gets_the_same_fixes_under_ids_of_their_own(
    document: dict[str, Any], found: list[Finding]
) -> None:
    fixes = propose_fixes(document, diagnosis(*found))
    assert fixes == propose_fixes(copy.deepcopy(document), diagnosis(*found))
    assert len({fix.id for fix in fixes}) == len(fixes)
    assert len({str(fix.patch) for fix in fixes}) == len(fixes)


@pytest.mark.slow
@EXAMPLES
@given(ALL_SPECS)
def test_shapes_worked_out_on_paper_are_those_that_pytorch_has(document: dict[str, Any]) -> None:
    assume(_resolves(document))
    places = {pointer(*place.keys): place for place in read_posted(document).places.values()}
    resolved = {layer.pointer: layer for layer in resolve_spec(parse_spec(document)).layers}
    assert places.keys() == resolved.keys()
    for at, place in places.items():
        assert tuple(resolved[at].input_shape) in place.inputs
        assert None not in place.inputs
        assert place.turns == resolved[at].turns


def _resolves(document: dict[str, Any]) -> bool:
    try:
        resolve_spec(parse_spec(document))
    except InvalidSpec:
        return False
    return True


def _end(document: dict[str, Any]) -> list[Any]:
    """Return the output layers and all that follows them; their initialization may change."""
    places = read_posted(document).places.values()
    ends = [place.layer for place in places if place.role != "hidden" and not hasattr(place.layer, "layers")]
    return [layer.model_copy(update={"init": None}) if hasattr(layer, "frozen") else layer for layer in ends]


def _allows_none(document: dict[str, Any], finding: Finding, heard: list[Finding]) -> bool:
    """Whether nothing can be done: Adam is posted already, there is no learning rate to lower, or it began broken."""
    if any(is_broken_from_the_start(other) for other in heard):
        return True
    is_sgd = document["optimizer"]["type"] == "SGD"
    if any(other.rule == "vanishing_gradient" for other in heard) and not is_sgd:
        return True
    return finding.rule != "vanishing_gradient" and document["optimizer"].get("lr") == 0 and not is_sgd


def _kinds(fixes: list[Fix]) -> set[str]:
    return {fix.kind for fix in fixes}


def _is_overshoot(finding: Finding) -> bool:
    return finding.cause is not None and finding.cause.what == "learning_rate"
