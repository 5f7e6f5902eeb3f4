"""Early word while a training goes on, and `"stop_on": "critical"`."""

import time

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.training import EarlyObserver, train

NAN = {
    "model": {"layers": [{"type": "Linear", "out_features": 1}]},
    "data": {"type": "linear_regression", "noise": 0.1},
    "loss": {"type": "MSELoss"},
    "optimizer": {"type": "SGD", "lr": 3.0},
    "training": {"steps": 400},
}
DIGITS = {
    "model": {
        "layers": [{"type": "Linear", "out_features": 64}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    },
    "data": {"type": "digits"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 400},
}
STOP = {"diagnosis": {"stop_on": "critical"}}


class Listening(EarlyObserver):
    """Keeps what it hears, and when."""

    def __init__(self, spec):
        super().__init__(spec)
        self.done = 0
        self.heard = []

    def on_step(self, done):
        self.done = done

    def on_findings(self, findings):
        self.heard += [(self.done, finding) for finding in findings[len(self.heard) :]]


def trained(document):
    spec = parse_spec(document)
    observer = Listening(spec)
    return train(spec, observer=observer), observer


def test_a_loss_that_is_no_number_is_told_within_a_few_steps():
    run, observer = trained(NAN)
    losses = run.history["loss"].series()
    first = int(np.argmax(~np.isfinite(losses)))
    done, finding = next((done, one) for done, one in observer.heard if one.rule == "non_finite")
    # The gradients of so small a model are recorded at every fourth step, and the rows are shown after 4, 8, 16, ...
    assert first < finding.step <= first + 40
    assert done == finding.step - 1
    assert run.history.facts.outcome.stopped_by is None


def test_a_hopeless_training_ends_there_and_says_what_it_saved():
    run, observer = trained(NAN | STOP)
    outcome = run.history.facts.outcome
    step = observer.heard[0][1].step
    assert (outcome.steps, outcome.steps_saved) == (step, 400 - step)
    assert outcome.stopped_by == observer.heard[0][1].rule
    diagnosis = diagnose(run.history)
    said = f"ended at step {step} of 400: {400 - step} steps saved"
    assert any(said in note for note in diagnosis.notes)
    assert [said in finding.summary for finding in diagnosis.findings if finding.rule == outcome.stopped_by] == [True]
    assert {one.rule for _, one in observer.heard} <= {finding.rule for finding in diagnosis.findings}
    assert "undertrained" not in {finding.rule for finding in diagnosis.findings}


def test_a_healthy_training_goes_on_to_its_end_bit_for_bit():
    run, observer = trained(DIGITS | STOP)
    alone = train(parse_spec(DIGITS))
    assert observer.heard == []
    assert run.history.facts.outcome == alone.history.facts.outcome
    assert all(
        torch.equal(one, other) for one, other in zip(alone.network.parameters(), run.network.parameters(), strict=True)
    )


@pytest.mark.slow
def test_judging_costs_less_than_a_hundredth_of_the_training():
    """Measured inside the training, so that what else the machine does weighs on both alike."""
    spec = parse_spec(DIGITS | {"training": {"steps": 2000}})
    spent = 0.0

    class Timed(EarlyObserver):
        def on_chunk(self, part):
            nonlocal spent
            began = time.perf_counter()
            super().on_chunk(part)
            spent += time.perf_counter() - began

    train(spec)
    began = time.perf_counter()
    train(spec, observer=Timed(spec))
    assert spent < 0.01 * (time.perf_counter() - began)
