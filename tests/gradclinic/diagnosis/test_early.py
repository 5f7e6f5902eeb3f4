"""Early word: what is said of a training that goes on is never taken back at its end."""

import json
import pathlib

import numpy as np
import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import RULES, EarlyWord, certain_findings, diagnose
from gradclinic.history import History, RunFacts, SignalTable
from gradclinic.training import train

CASES = sorted((pathlib.Path(__file__).parents[3] / "cases").glob("*.json"))
EVERY = 32


def digits(layers, optimizer, steps=300, **more):
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": optimizer,
        "training": {"steps": steps},
    } | more


def linear(size):
    return {"type": "Linear", "out_features": size}


NAN = {
    "model": {"layers": [linear(1)]},
    "data": {"type": "linear_regression", "noise": 0.1},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 3.0},
    "training": {"steps": 300},
}
DEEP_SIGMOID = digits(
    [{"type": "Repeat", "times": 12, "layers": [linear(48), {"type": "Sigmoid"}]}, linear(10)],
    {"type": "SGD", "lr": 0.1},
)
TINY_RATE = digits([linear(10)], {"type": "SGD", "lr": 1e-12})
GROWING_RATE = TINY_RATE | {
    "scheduler": {"type": "StepLR", "step_size": 200, "gamma": 1e11, "interval": "step"},
}
HEALTHY = digits([linear(32), {"type": "ReLU"}, linear(10)], {"type": "SGD", "lr": 0.1})


def cut(history, start, stop):
    tables = {name: table.between(start, stop) for name, table in history.tables.items()}
    return History({name: table for name, table in tables.items() if len(table.steps)}, history.facts)


def said_early(history):
    """Return the step at which each rule's finding was first certain, in a training of this history."""
    said = {}
    for stop in range(EVERY, history.last_step + 1, EVERY):
        for finding in certain_findings(cut(history, 0, stop)):
            said.setdefault(finding.rule, stop)
    return said


@pytest.mark.parametrize(
    ("document", "rule", "before"),
    [(NAN, "non_finite", 100), (DEEP_SIGMOID, "vanishing_gradient", 160), (TINY_RATE, "unchanged_weights", 100)],
    ids=["not a number", "cut off", "at rest"],
)
def test_what_nothing_can_undo_is_said_long_before_the_end(document, rule, before):
    history = train(parse_spec(document)).history
    said = said_early(history)
    assert said[rule] < before
    final = {finding.rule: finding.severity for finding in diagnose(history).findings}
    assert {final.get(found) for found in said} == {"critical"}


def test_a_rate_that_will_grow_leaves_it_open():
    """The weights stand as still as those of the tiny rate until then, and move after it."""
    history = train(parse_spec(GROWING_RATE)).history
    assert said_early(cut(history, 0, 200)) == {}
    assert said_early(cut(train(parse_spec(TINY_RATE)).history, 0, 200))


def test_of_a_healthy_training_nothing_is_said_early():
    assert said_early(train(parse_spec(HEALTHY)).history) == {}


def test_losses_that_are_no_number_for_a_moment_are_not_the_end():
    """Nothing says that it reached the weights: the losses after it are finite again."""
    losses, counts = np.full((60, 1), 2.3), np.zeros((60, 1))
    losses[30:32], counts[30:32] = np.nan, 5
    steps = np.arange(60)
    tables = {"loss": SignalTable(steps, ("",), losses), "grad_nonfinite": SignalTable(steps, ("0.weight",), counts)}
    history = History(tables, RunFacts(steps_planned=100, steps_per_epoch=10))
    assert not any(certain_findings(cut(history, 0, stop)) for stop in range(1, 60))
    losses[32:] = np.nan
    assert [finding.rule for finding in certain_findings(cut(history, 0, 33))] == ["non_finite", "loss_not_decreasing"]


def test_a_growing_history_says_each_finding_once():
    history = train(parse_spec(DEEP_SIGMOID)).history
    word = EarlyWord()
    new = [finding.rule for start in range(0, 300, 50) for finding in word.hear(cut(history, start, start + 50))]
    assert new == [finding.rule for finding in word.findings]
    assert len(set(new)) == len(new) > 0
    assert {finding.severity for finding in word.findings} == {"critical"}


def test_a_look_at_the_beginning_of_a_part_does_not_keep_it():
    history = train(parse_spec(NAN)).history
    word = EarlyWord()
    assert word.peek(cut(history, 0, 100))
    assert word.hear(cut(history, 0, 128)) == []
    assert word.findings[0].step == 100


def test_only_some_rules_have_a_say_before_the_end():
    assert {"overfitting", "undertrained", "noisy_gradient"}.isdisjoint(rule.id for rule in RULES if rule.certain)


def test_a_training_that_was_ended_is_not_called_too_short():
    """Its loss still fell when a finding ended it; the plan was longer."""
    document = digits([linear(64), {"type": "ReLU"}, linear(10)], {"type": "Adam", "lr": 0.003}, steps=25)
    history = train(parse_spec(document)).history
    assert "undertrained" in {finding.rule for finding in diagnose(history).findings}
    outcome = history.facts.outcome.model_copy(update={"stopped_by": "non_finite", "steps_saved": 375})
    ended = diagnose(History(history.tables, history.facts.model_copy(update={"outcome": outcome})))
    assert "undertrained" not in {finding.rule for finding in ended.findings}
    assert any("ended at step 25 of 400: 375 steps saved" in note for note in ended.notes)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_labelled_case_takes_an_early_finding_back():
    """Early findings on healthy cases, and early findings that the end does not have: none of either."""
    taken_back, on_healthy, early = [], [], 0
    for path in CASES:
        case = json.loads(path.read_text())
        history = train(parse_spec(case["spec"])).history
        said = said_early(history)
        early += bool(said)
        final = {finding.rule: finding.severity for finding in diagnose(history).findings}
        taken_back += [(path.stem, rule) for rule in said if final.get(rule) != "critical"]
        on_healthy += [(path.stem, rule) for rule in said if case["truth"]["health"] == "healthy"]
    assert taken_back == on_healthy == []
    assert early > 0
