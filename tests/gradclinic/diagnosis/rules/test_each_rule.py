"""Every rule by itself, on made-up histories: when it fires, how badly, since when, on which numbers, and when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from gradclinic.contract.diagnosis import Finding, RuleId
from gradclinic.diagnosis import RULES, THRESHOLDS, diagnose
from gradclinic.history import History
from tests.gradclinic.diagnosis.rules.histories import LOSSES, STEPS, Level, history, whole
from tests.gradclinic.diagnosis.rules.of_gradients import OF_GRADIENTS
from tests.gradclinic.diagnosis.rules.of_tasks import OF_TASKS
from tests.gradclinic.diagnosis.rules.symptom import Symptom, evidence_of

SYMPTOMS = OF_GRADIENTS + OF_TASKS

LEVELS: tuple[Level, ...] = ("failed", "harmed", "well")
SKILLS = {"not_learned_skill", "harmed_skill", "good_skill"}

ELSEWHERE = {
    # Thresholds that do not decide whether the rule fires, but whether a step is to blame, or how badly it is.
    ("exploding_gradient", "overshooting_update"), ("vanishing_gradient", "overshooting_update"),
    ("dead_units", "overshooting_update"), ("saturated_activations", "overshooting_update"),
    ("overfitting", "overfitting_loss"), ("learning_rate_too_low", "vanishing_gain"),
}  # fmt: skip

FORESEEN = {
    # Thresholds that the rule asks before the first step alone.
    ("unnormalized_target", "catapult"), ("unnormalized_target", "loss_jump"), ("unnormalized_input", "catapult"),
    ("unnormalized_input", "start_loss"), ("unnormalized_input", "loss_jump"), ("learning_rate_too_high", "catapult"),
    ("vanishing_gradient", "unchanged_update"),
}  # fmt: skip


def numbered(symptoms: tuple[Symptom, ...]) -> list[object]:
    return [pytest.param(one, id=f"{one.rule}-{place}") for place, one in enumerate(symptoms)]


def said(rule: RuleId, of: History, **thresholds: float) -> Finding | None:
    return next((finding for finding in diagnose(of, thresholds).findings if finding.rule == rule), None)


def strongest(symptom: Symptom) -> Level:
    return "failed" if symptom.severities["failed"] else "harmed"


@pytest.mark.parametrize("level", LEVELS)
def test_where_nothing_is_the_matter_no_rule_speaks_but_the_one_on_the_end(level: Level):
    rules = [finding.rule for finding in diagnose(history(level)).findings]
    assert rules == (["loss_not_decreasing"] if level == "failed" else [])


def test_every_rule_and_every_threshold_is_put_to_the_test():
    assert {one.rule for one in SYMPTOMS} == {rule.id for rule in RULES}
    silenced = {(one.rule, name) for one in SYMPTOMS for name in one.silenced}
    asked = {(rule.id, name) for rule in RULES for name in rule.thresholds if name not in SKILLS}
    assert asked - silenced == ELSEWHERE | FORESEEN


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("symptom", numbered(SYMPTOMS))
def test_a_symptom_is_as_bad_as_what_it_did_to_learning(symptom: Symptom, level: Level):
    found = said(symptom.rule, symptom.make(level))
    assert (found.severity if found else None) == symptom.severities[level]


@pytest.mark.parametrize("symptom", numbered(SYMPTOMS))
def test_a_finding_says_since_when_where_and_on_which_numbers(symptom: Symptom):
    found = said(symptom.rule, symptom.make(strongest(symptom)))
    assert found is not None
    assert found.first_step == symptom.first_step
    assert tuple(found.layers) == symptom.layers
    numbers = evidence_of(found.evidence)
    assert {name: numbers[name] for name in symptom.evidence} == pytest.approx(
        dict(symptom.evidence), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize(
    ("symptom", "name", "value"),
    [
        pytest.param(one, name, value, id=f"{one.rule}-{name}-{place}")
        for place, one in enumerate(SYMPTOMS)
        for name, value in one.silenced.items()
    ],
)
def test_another_threshold_takes_the_finding_back(symptom: Symptom, name: str, value: float):
    sick = symptom.make(strongest(symptom))
    assert said(symptom.rule, sick, **{name: THRESHOLDS[name].default}) is not None
    assert said(symptom.rule, sick, **{name: value}) is None


@pytest.mark.parametrize("symptom", numbered(tuple(one for one in SYMPTOMS if one.severities == {"failed": "critical", "harmed": "warning", "well": one.severities["well"]})))  # fmt: skip
def test_what_counts_as_learned_can_be_overridden(symptom: Symptom):
    harmed = symptom.make("harmed")
    worse = said(symptom.rule, harmed, not_learned_skill=0.45)
    assert worse is not None
    assert worse.severity == "critical"
    better = said(symptom.rule, harmed, harmed_skill=0.3, good_skill=0.3)
    assert (better.severity if better else None) == symptom.severities["well"]


@pytest.mark.parametrize(
    ("symptom", "why"),
    [
        pytest.param(one, why, id=f"{one.rule}-{why}")
        for one in SYMPTOMS
        for why in one.silent
    ],
)  # fmt: skip
def test_it_is_silent_where_it_says_so(symptom: Symptom, why: str):
    assert said(symptom.rule, symptom.silent[why]()) is None


@pytest.mark.parametrize(
    ("symptom", "signal"),
    [
        pytest.param(one, signal, id=f"{one.rule}-{signal}-{place}")
        for place, one in enumerate(SYMPTOMS)
        for rule in RULES
        if rule.id == one.rule
        for signal in rule.signals
    ],
)
def test_a_signal_that_is_missing_is_named_and_nothing_is_said_without_it(symptom: Symptom, signal: str):
    sick = symptom.make(strongest(symptom))
    blind = History({name: table for name, table in sick.tables.items() if name != signal}, sick.facts)
    diagnosis = diagnose(blind)
    assert symptom.rule not in {finding.rule for finding in diagnosis.findings}
    assert any(note.startswith(f"{symptom.rule} was not judged") and signal in note for note in diagnosis.notes)


def test_a_loss_that_is_no_number_at_the_end_is_critical_and_one_that_came_back_a_warning():
    losses = np.full(STEPS, LOSSES["well"])
    came_back = losses.copy()
    came_back[30] = np.nan
    found = said("non_finite", history("well", {"loss": whole(came_back)}))
    assert found is not None
    assert (found.severity, found.first_step) == ("warning", 30)
    ended = losses.copy()
    ended[30:] = np.inf
    found = said("non_finite", history("well", {"loss": whole(ended)}))
    assert found is not None
    assert (found.severity, found.first_step) == ("critical", 30)
