"""How well a training learned: what its losses are compared with, and when that says nothing."""

import numpy as np
import pytest

from gradclinic.diagnosis import diagnose
from gradclinic.diagnosis.learning import LEAST_LOSSES, judge_learning
from gradclinic.history import WHOLE_STEP, History, RunFacts, SignalTable, Trivial


def history_of(losses, **facts):
    steps = np.arange(len(losses))
    return History({"loss": SignalTable(steps, (WHOLE_STEP,), np.array(losses, float)[:, None])}, RunFacts(**facts))


@pytest.mark.parametrize("count", [1, 3, LEAST_LOSSES - 1])
def test_a_few_losses_are_not_judged_by_their_own_beginning_and_a_note_says_so(count):
    diagnosis = diagnose(history_of([2.3] * count))
    assert (diagnosis.findings, diagnosis.health) == ([], "healthy")
    assert any("not known" in note and f"at least {LEAST_LOSSES}" in note for note in diagnosis.notes)


def test_losses_enough_are_judged_by_their_beginning():
    diagnosis = diagnose(history_of([2.3] * LEAST_LOSSES))
    assert [finding.rule for finding in diagnosis.findings] == ["loss_not_decreasing"]


def test_a_known_trivial_loss_judges_a_few_too():
    diagnosis = diagnose(history_of([2.3] * 3, trivial=Trivial(train_loss=2.3)))
    assert [finding.rule for finding in diagnosis.findings] == ["loss_not_decreasing"]


def test_a_few_losses_that_end_as_no_number_are_critical():
    assert diagnose(history_of([2.3, 2.3, np.nan])).health == "critical"


@pytest.mark.parametrize("losses", [[np.inf, -np.inf] * 20, [1e308] * 40])
def test_losses_without_a_mean_are_known_to_have_none(losses):
    """Warnings are errors here: no mean is taken of infinities of both signs."""
    assert judge_learning(history_of(losses)).end_loss is None
