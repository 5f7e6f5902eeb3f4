"""A trial is a training like any other, ended early where it can no longer win, and kept as what a verdict needs."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.diagnosis import diagnose
from gradclinic.errors import TrainingCancelled
from gradclinic.history import History
from gradclinic.training import Observer, train
from gradclinic.training.proving import Place, prove
from gradclinic.training.trial import result_of, train_trial

IRIS: dict[str, Any] = {
    "model": {
        "layers": [{"type": "Linear", "out_features": 16}, {"type": "ReLU"}, {"type": "Linear", "out_features": 3}]
    },
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 60, "batch_size": 24},
}
STUCK = IRIS | {"optimizer": {"type": "SGD", "lr": 1e-9}}
DIVERGES = IRIS | {"optimizer": {"type": "SGD", "lr": 1e12}, "loss": {"type": "MSELoss"}, "data": {"type": "diabetes"}}
DIVERGES["model"] = {
    "layers": [{"type": "Linear", "out_features": 4}, {"type": "ReLU"}, {"type": "Linear", "out_features": 1}]
}


def changed(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    made = copy.deepcopy(document)
    for name, values in parts.items():
        made[name] = made.get(name, {}) | values
    return made


def result_for(document: dict[str, Any], seed: int = 0) -> TrialResult:
    spec = parse_spec(changed(document, training={"seed": seed}))
    history = train(spec).history
    return result_of(spec, history, diagnose(history), seconds=1.0)


def trial(document: dict[str, Any], fix: str | None = "a-fix", seed: int = 1) -> Trial:
    return Trial(round=1, fix=fix, seed=seed, document=document)


def test_a_trial_that_goes_well_is_the_training_of_its_seed():
    history, result = train_trial(trial(IRIS), result_for(STUCK))
    alone = train(parse_spec(changed(IRIS, training={"seed": 1}))).history
    assert history["loss"].values.tobytes() == alone["loss"].values.tobytes()
    assert not result.hopeless
    assert (result.round, result.fix, result.seed) == (1, "a-fix", 1)
    assert (result.steps, result.planned, result.samples, result.parameters) == (60, 60, 24, 131)
    assert result.score == pytest.approx(alone.facts.outcome.metric.value)
    assert result.floor == pytest.approx(alone.facts.trivial.metric)


def test_a_fix_that_gets_nowhere_is_given_up_at_a_third_of_its_steps():
    _, result = train_trial(trial(STUCK), result_for(STUCK))
    assert result.hopeless
    assert 20 <= result.steps <= 25
    assert result.score == result.floor


def test_the_unchanged_spec_is_given_up_only_where_it_got_nowhere_before():
    got_nowhere, learned = result_for(STUCK), result_for(IRIS)
    assert train_trial(trial(STUCK, fix=None), got_nowhere)[1].hopeless
    assert not train_trial(trial(STUCK, fix=None), learned)[1].hopeless


def test_a_fix_far_behind_a_baseline_that_learns_is_given_up_half_way():
    slow = changed(IRIS, optimizer={"lr": 0.0005})
    baseline = result_for(changed(IRIS, optimizer={"lr": 0.5}))
    _, result = train_trial(trial(slow), baseline)
    assert result.hopeless
    assert result.steps < 40


def test_a_training_that_diverged_for_good_is_ended():
    _, result = train_trial(trial(DIVERGES), result_for(changed(DIVERGES, optimizer={"lr": 0.0})))
    assert result.hopeless
    assert result.steps < result.planned


def test_an_outcome_that_is_not_finite_counts_as_the_trivial_predictors():
    result = result_for(DIVERGES)
    assert result.score == result.floor == pytest.approx(0.0, abs=1e-9)
    assert result.val_skill == 0.0


def test_errors_are_compared_as_skills_so_that_the_scale_of_the_targets_does_not_matter():
    plain = changed(DIVERGES, optimizer={"lr": 1e-5}, training={"metrics": ["mae"]})
    scaled = changed(plain, data={"normalize_target": True}, optimizer={"lr": 0.1})
    for document in (plain, scaled):
        result = result_for(document)
        assert result.metric == "mae_skill"
        assert result.floor == 0.0
        assert 0.0 <= result.score < 1.0
    assert result_for(plain).loss != result_for(scaled).loss


def test_evaluations_are_kept_along_the_way():
    scores = result_for(IRIS).scores
    assert [score.step for score in scores][-1] == 60
    assert all(math.isfinite(score.value) for score in scores)


class Stops(Observer):
    def should_stop(self) -> bool:
        return True


def test_whoever_watches_can_stop_it():
    with pytest.raises(TrainingCancelled):
        train_trial(trial(IRIS), result_for(STUCK), observer=Stops())


class Hears(Observer):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.chunks: list[History] = []
        self.planned = 0

    def on_start(self, planned: int) -> None:
        self.planned = planned

    def on_step(self, done: int) -> None:
        self.steps.append(done)

    def on_chunk(self, part: History) -> None:
        self.chunks.append(part)


def test_whoever_watches_hears_everything():
    hears = Hears()
    history, _ = train_trial(trial(IRIS), result_for(STUCK), observer=hears)
    assert hears.planned == 60
    assert hears.steps == list(range(1, 61))
    assert hears.chunks[-1].last_step == history.last_step


def test_a_whole_job_is_proven_in_this_process():
    document = STUCK | {"verification": {"fixes": 1}}
    places: list[Place] = []

    def watched(place: Place) -> Observer:
        places.append(place)
        return Observer()

    proven = prove(document, watched=watched)
    assert proven.diagnosis.health == "critical"
    best = next(fix for fix in proven.diagnosis.fixes if fix.recommended)
    assert best.verdict == "verified"
    assert best.effect.fixed > best.effect.baseline
    assert proven.diagnosis.proof.trials == len(proven.results) == len(places) - 1
    assert places[0].trial is None
    assert prove(document).diagnosis.proof == proven.diagnosis.proof


def test_a_healthy_job_proves_nothing():
    proven = prove(changed(IRIS, training={"steps": 200}))
    assert proven.diagnosis.health == "healthy"
    assert proven.results == ()
    assert proven.diagnosis.proof is None


class Interrupts(Observer):
    def should_stop(self) -> bool:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("stopping", "by_hand"), [(Stops, False), (Interrupts, True)])
def test_a_proof_that_is_stopped_keeps_what_it_knows(stopping, by_hand):
    places: list[Place] = []

    def watched(place: Place) -> Observer:
        places.append(place)
        return stopping() if len(places) > 2 else Observer()

    proven = prove(STUCK | {"verification": {"fixes": 2}}, watched=watched)
    assert not proven.is_finished
    assert proven.is_interrupted is by_hand
    assert proven.diagnosis.health == "critical"
    assert len(proven.results) == 1
    assert "Not settled" in proven.diagnosis.proof.recommendation
