from __future__ import annotations

import pytest

from gradclinic.contract.diagnosis import Evidence
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.fixes import FIXES, apply_patch, catalogue, propose_fixes
from gradclinic.fixes.catalogue import HEADINGS, read_docstring
from gradclinic.fixes.ranking import CURES, REMEDIES, TREATMENTS
from gradclinic.model import is_resolvable, resolve_spec
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, SIGMOID, diagnosis, finding, repeat, spec_of

RELU = {"type": "ReLU"}
DEEP = spec_of(repeat(5, LINEAR, SIGMOID), OUTPUT)


def kinds(document, *findings):
    return [fix.kind for fix in propose_fixes(document, diagnosis(*findings))]


def test_what_addresses_the_cause_comes_before_what_treats_the_symptom():
    activation = kinds(DEEP, finding("vanishing_gradient", "activation"))
    assert activation[:4] == ["activation", "normalization", "residual", "optimizer"]
    weights = spec_of(repeat(5, LINEAR, RELU), OUTPUT)
    assert kinds(weights, finding("vanishing_gradient", "weights"))[:2] == ["initialization", "normalization"]
    assert kinds(weights, finding("vanishing_gradient", "depth"))[:2] == ["residual", "normalization"]
    assert kinds(weights, finding("exploding_gradient", "learning_rate"))[0] == "learning_rate"


def test_a_change_that_the_service_would_refuse_is_not_proposed():
    """A normalization in each of 400 turns makes 1,201 layers of 801; the limit is 1,000."""
    deepest = spec_of(repeat(400, LINEAR, SIGMOID), OUTPUT)
    found = diagnosis(finding("vanishing_gradient", "activation"))
    assert "normalization" in [fix.kind for fix in propose_fixes(deepest, found)]
    fixes = propose_fixes(deepest, found, is_valid=is_resolvable)
    assert "normalization" not in [fix.kind for fix in fixes]
    assert fixes
    for fix in fixes:
        resolve_spec(parse_spec(apply_patch(deepest, fix.patch)))


def test_a_healthy_diagnosis_and_one_of_mere_information_get_no_fix():
    assert propose_fixes(DEEP, diagnosis(health="healthy")) == []
    assert kinds(DEEP, finding("vanishing_gradient", "activation", severity="info")) == []


def test_a_rule_without_fixes_gets_none():
    assert kinds(DEEP, finding("class_imbalance")) == []


@pytest.mark.parametrize("caused_by", ["vanishing_gradient", None])
def test_what_follows_from_a_finding_gets_its_fixes_and_none_of_its_own(caused_by):
    root, effect = finding("vanishing_gradient", "activation"), finding("loss_not_decreasing", caused_by=caused_by)
    for findings in ((root, effect), (effect, root)):
        fixes = propose_fixes(DEEP, diagnosis(*findings))
        assert {fix.kind for fix in fixes}.isdisjoint({"learning_rate", "gradient_clipping"})
        assert all(set(fix.addresses) == {root.rule, effect.rule} for fix in fixes)


def test_what_follows_from_a_finding_that_has_no_fixes_gets_its_own():
    found = finding("training_error"), finding("loss_not_decreasing", caused_by="training_error")
    fixes = propose_fixes(DEEP, diagnosis(*found))
    assert [fix.addresses for fix in fixes] == [["loss_not_decreasing"]] * len(fixes)
    assert fixes


def test_the_same_change_for_two_findings_is_one_fix():
    found = finding("exploding_gradient", "weights"), finding("non_finite")
    fixes = propose_fixes(DEEP, diagnosis(*found))
    both = [fix.kind for fix in fixes if fix.addresses == ["exploding_gradient", "non_finite"]]
    assert {"normalization", "gradient_clipping", "learning_rate"} <= set(both)


def test_findings_that_call_each_other_their_cause_end():
    found = finding("exploding_gradient", caused_by="non_finite"), finding("non_finite", caused_by="exploding_gradient")
    assert kinds(DEEP, *found)


def test_no_step_size_helps_what_was_broken_before_the_first_step():
    evidence = [Evidence(signal="grad_nonfinite", value=4.0, step=0)]
    large = spec_of(LINEAR, RELU, OUTPUT, init={"weight": {"type": "normal_", "std": 1e20}})
    assert kinds(large, finding("non_finite", evidence=evidence)) == ["initialization", "normalization"]


def test_a_fix_says_what_it_does_why_and_where_that_comes_from():
    for fix in propose_fixes(DEEP, diagnosis(finding("vanishing_gradient", "activation"))):
        assert fix.title
        assert fix.why.endswith(".")
        assert fix.references
        assert fix.verdict == "untested"


def test_a_document_that_is_no_spec_is_refused():
    with pytest.raises(InvalidSpec):
        propose_fixes({}, diagnosis(finding("non_finite")))


def test_a_patch_beyond_the_limits_of_the_contract_is_not_proposed():
    many = spec_of(*[LINEAR, SIGMOID] * 499, OUTPUT)
    assert "normalization" not in kinds(many, finding("vanishing_gradient", "activation"))


def test_the_catalogue_tells_of_every_kind():
    for fix, info in zip(FIXES, catalogue(), strict=True):
        assert tuple(read_docstring(fix)[1]) == HEADINGS
        assert info.kind == fix.KIND
        assert all((info.title, info.applies, info.fails, info.references))


def test_the_ranking_knows_each_kind_for_each_rule_it_addresses():
    ranked = {(rule, kind) for table in (REMEDIES, TREATMENTS) for rule, kinds_ in table.items() for kind in kinds_}
    assert ranked == {(rule, fix.KIND) for fix in FIXES for rule in fix.ADDRESSES}
    assert {kind for cures in CURES.values() for kind in cures} <= {fix.KIND for fix in FIXES}
