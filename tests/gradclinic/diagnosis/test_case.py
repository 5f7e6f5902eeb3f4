"""What a case says of a history that several rules ask for."""

from gradclinic.diagnosis.case import Case
from gradclinic.history import History, RunFacts
from gradclinic.history.facts import Trivial


def test_a_training_whose_length_a_framework_knows_may_still_call_activations_as_functions():
    assert not Case(History({}, RunFacts(steps_planned=100, steps_per_epoch=10))).sees_all_layers
    assert Case(History({}, RunFacts(steps_planned=100, trivial=Trivial(train_loss=2.3)))).sees_all_layers
