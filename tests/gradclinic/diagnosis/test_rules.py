"""Every rule on its own examples, and its documentation."""

import numpy as np
import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import RULES, THRESHOLDS, catalogue, check_thresholds, diagnose
from gradclinic.errors import InvalidHistory
from gradclinic.history import History, SignalTable
from gradclinic.training import train

EXAMPLES = [
    pytest.param(rule.id, spec, is_sick, id=f"{rule.id}-{side}-{number}")
    for rule in RULES
    for side, is_sick, specs in (("sick", True, rule.sick), ("healthy", False, rule.healthy))
    for number, spec in enumerate(specs)
]


@pytest.mark.parametrize(("rule", "document", "is_sick"), EXAMPLES)
def test_a_rule_fires_on_its_sick_examples_and_on_no_healthy_one(rule, document, is_sick):
    diagnosis = diagnose(train(parse_spec(document)).history)
    harmful = {finding.rule for finding in diagnosis.findings if finding.severity != "info"}
    assert (rule in harmful) == is_sick
    assert (diagnosis.health != "healthy") == is_sick


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_threshold_of_a_rule_has_its_default_and_its_source(rule):
    missing = set(rule.thresholds) - set(THRESHOLDS)
    assert not missing, (
        f"The rule {rule.id} names {', '.join(sorted(missing))} under `thresholds`, which "
        "gradclinic/diagnosis/thresholds.py does not have. Add each there with its default, its meaning and its source."
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_documents_itself(rule):
    info = rule.info()
    assert all((info.title, info.sees, info.hurts, info.silent, info.source))
    assert all(threshold.name in THRESHOLDS for threshold in info.thresholds)
    assert rule.sick
    assert rule.healthy


def test_the_catalogue_lists_each_rule_once():
    ids = [info.id for info in catalogue()]
    assert len(ids) == len(set(ids)) == len(RULES)


def test_a_cause_is_judged_before_what_follows_from_it():
    order = [rule.id for rule in RULES]
    for rule in RULES:
        assert all(order.index(cause) < order.index(rule.id) for cause in rule.caused_by)


def test_a_rule_whose_signals_are_missing_is_named():
    losses = SignalTable(np.arange(20), ("",), np.linspace(2.3, 0.1, 20)[:, None])
    diagnosis = diagnose(History({"loss": losses}))
    unjudged = {note.split()[0] for note in diagnosis.notes if "was not judged" in note}
    assert unjudged == {rule.id for rule in RULES if set(rule.signals) - {"loss"}}


def test_an_empty_history_is_refused_with_what_to_do():
    with pytest.raises(InvalidHistory, match=r"recorder.step\(loss\)"):
        diagnose(History())


def test_unknown_and_senseless_thresholds_are_named():
    faults = check_thresholds({"vanishing_gain": 1e-4, "vanishing": 1.0, "exploding_gain": -1.0})
    assert {fault.pointer for fault in faults} == {
        "/diagnosis/thresholds/vanishing",
        "/diagnosis/thresholds/exploding_gain",
    }
