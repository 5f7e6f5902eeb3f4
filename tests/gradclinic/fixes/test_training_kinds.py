"""The patches of the kinds that change how a model is trained, and the values that they take from what was measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradclinic.contract.diagnosis import Evidence, Fix
from gradclinic.fixes import Measured, apply_patch, learning_rate_alone, propose_fixes
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, diagnosis, finding, spec_of

HIGH = finding("learning_rate_too_high", "learning_rate")
LOW = finding("learning_rate_too_low", "learning_rate", evidence=[Evidence(signal="update_ratio", value=1e-6)])
SHORT = finding("undertrained", "learning_rate")
FITTED = finding("overfitting", "data", severity="warning")
HELD = finding("over_regularized", "loss", evidence=[Evidence(signal="decay_over_gradient", value=4.0)])
CUT = finding("gradient_clipped_away", "learning_rate")
SWINGS = finding("oscillating_loss", "learning_rate")
NOISE = finding("noisy_gradient", "data")
ADAM = {"type": "Adam", "lr": 0.01}


def fixes_of(found: Any, document: Any = None, **measured: Any) -> dict[str, Fix]:
    fixes = propose_fixes(document or spec_of(LINEAR, OUTPUT), diagnosis(found), measured=Measured(**measured))
    return {fix.id: fix for fix in fixes}


def fixed(id_: str, found: Any, document: Any = None, **measured: Any) -> dict[str, Any]:
    document = document or spec_of(LINEAR, OUTPUT)
    return apply_patch(document, fixes_of(found, document, **measured)[id_].patch)


class TestLearningRate:
    def test_it_is_the_measured_one_then_a_tenth_of_it(self):
        assert fixed("learning-rate-lower", HIGH, suggested_lr=0.002)["optimizer"]["lr"] == 0.002
        assert fixed("learning-rate-lower-still", HIGH, suggested_lr=0.002)["optimizer"]["lr"] == 2e-4

    def test_a_measured_one_that_points_the_other_way_is_not_taken(self):
        assert fixed("learning-rate-lower", HIGH, suggested_lr=0.5)["optimizer"]["lr"] == 0.005
        assert "learning-rate-higher" not in fixes_of(LOW, suggested_lr=0.01)

    def test_it_is_raised_to_the_measured_one(self):
        assert fixed("learning-rate-higher", LOW, suggested_lr=0.3)["optimizer"]["lr"] == 0.3
        still = finding("unchanged_weights", "learning_rate")
        frozen = spec_of(LINEAR, OUTPUT, optimizer={"type": "SGD", "lr": 0})
        assert fixed("learning-rate-higher", still, frozen, suggested_lr=0.2)["optimizer"]["lr"] == 0.2

    def test_updates_bound_how_far_it_is_raised(self):
        fast = finding("undertrained", "learning_rate", evidence=[Evidence(signal="update_ratio", value=0.005)])
        assert fixed("learning-rate-higher", fast, suggested_lr=8.0)["optimizer"]["lr"] == pytest.approx(1.0)

    def test_a_loss_that_does_not_fall_follows_the_range_test(self):
        still = finding("loss_not_decreasing")
        assert fixed("learning-rate-higher", still, suggested_lr=0.5)["optimizer"]["lr"] == 0.5
        assert fixed("learning-rate-lower", still, suggested_lr=0.001)["optimizer"]["lr"] == 0.001

    def test_the_peak_of_a_cycle_is_what_counts(self):
        cycle = {"type": "OneCycleLR", "max_lr": 2.0, "cycle_momentum": False}
        document = spec_of(LINEAR, OUTPUT, scheduler=cycle)
        patched = fixed("learning-rate-lower", HIGH, document, suggested_lr=0.1)
        assert patched["scheduler"]["max_lr"] == 0.1
        assert patched["optimizer"] == document["optimizer"]
        triangle = {"type": "CyclicLR", "max_lr": 2.0, "base_lr": 0.2, "cycle_momentum": False}
        document = spec_of(LINEAR, OUTPUT, scheduler=triangle)
        patched = fixed("learning-rate-lower", HIGH, document, suggested_lr=0.1)["scheduler"]
        assert (patched["base_lr"], patched["max_lr"]) == (0.01, 0.1)

    @pytest.mark.parametrize("rule", ["vanishing_gradient", "dead_units"])
    def test_what_no_step_brought_about_gets_none(self, rule):
        assert not [id_ for id_ in fixes_of(finding(rule, "weights"), suggested_lr=1e-4) if "learning-rate" in id_]
        assert "learning-rate-lower" in fixes_of(finding(rule, "learning_rate"), suggested_lr=1e-4)


class TestAlone:
    def alone(
        self, *findings: Any, lr: float = 0.1, suggested: float | None = 0.01, health: Any = "critical"
    ) -> Fix | None:
        document = spec_of(LINEAR, OUTPUT, optimizer={"type": "SGD", "lr": lr})
        return learning_rate_alone(document, diagnosis(*findings, health=health), Measured(suggested_lr=suggested))

    def test_it_is_the_change_of_the_rate_to_what_was_measured(self):
        fix = self.alone(HIGH)
        assert fix.id == "learning-rate-alone"
        assert fix.patch == [{"op": "replace", "path": "/optimizer/lr", "value": 0.01}]

    def test_it_addresses_the_roots(self):
        effect = finding("loss_not_decreasing", caused_by="learning_rate_too_high")
        assert self.alone(effect, HIGH, FITTED).addresses == ["learning_rate_too_high", "overfitting"]

    def test_there_is_none_where_nothing_is_wrong_or_measured_or_changed(self):
        assert self.alone() is None
        assert self.alone(finding("vanishing_gradient", severity="info")) is None
        assert self.alone(HIGH, suggested=None) is None
        assert self.alone(HIGH, lr=0.0105) is None
        assert self.alone(HIGH, lr=0.02) is not None
        assert self.alone(HIGH, lr=0.0) is not None


class TestSchedule:
    def test_half_a_cosine_over_all_steps(self):
        document = spec_of(LINEAR, OUTPUT, training={"steps": 250})
        cosine = {"type": "CosineAnnealingLR", "T_max": 250, "interval": "step"}
        assert fixed("lr-schedule-cosine", SWINGS, document)["scheduler"] == cosine
        epochs = spec_of(LINEAR, OUTPUT, training={"epochs": 3, "batch_size": 100})
        assert fixed("lr-schedule-cosine", SWINGS, epochs)["scheduler"]["T_max"] == 3 * math.ceil(1438 / 100)

    def test_a_rate_far_above_the_measured_one_comes_down_with_it_and_a_near_one_stays(self):
        assert fixed("lr-schedule-cosine", SWINGS, suggested_lr=0.001)["optimizer"]["lr"] == 0.001
        assert fixed("lr-schedule-cosine", SWINGS, suggested_lr=0.02)["optimizer"]["lr"] == 0.05

    def test_a_schedule_that_is_there_stays_unless_it_fell_too_early(self):
        early = spec_of(LINEAR, OUTPUT, scheduler={"type": "ExponentialLR", "gamma": 0.1}, training={"steps": 100})
        assert not [id_ for id_ in fixes_of(SWINGS, early) if id_.startswith("lr-schedule")]
        assert fixed("lr-schedule-longer", SHORT, early, lr_fell_at=23)["scheduler"]["T_max"] == 100
        assert "lr-schedule-longer" not in fixes_of(SHORT, early, lr_fell_at=80)
        assert "lr-schedule-longer" not in fixes_of(SHORT, lr_fell_at=23)


class TestWarmup:
    def test_a_line_before_a_cosine(self):
        document = spec_of(LINEAR, OUTPUT, training={"steps": 200})
        schedule = fixed("warmup", HIGH, document, suggested_lr=0.001)
        first, rest = schedule["scheduler"]["schedulers"]
        assert first == {"type": "LinearLR", "start_factor": 0.01, "total_iters": 20}
        assert rest == {"type": "CosineAnnealingLR", "T_max": 180}
        assert schedule["scheduler"]["milestones"] == [20]
        assert schedule["optimizer"]["lr"] == 0.001

    def test_a_schedule_by_steps_stays_behind_the_line_and_one_by_epochs_is_left_alone(self):
        step = {"type": "StepLR", "step_size": 50, "interval": "step"}
        assert fixed("warmup", HIGH, spec_of(LINEAR, OUTPUT, scheduler=step))["scheduler"]["schedulers"][1] == step
        assert "warmup" not in fixes_of(HIGH, spec_of(LINEAR, OUTPUT, scheduler={"type": "StepLR", "step_size": 5}))

    def test_it_is_for_the_first_steps_and_for_what_needs_it(self):
        late = finding("exploding_gradient", "learning_rate", first_step=300)
        assert "warmup" not in fixes_of(late)
        assert "warmup" in fixes_of(finding("exploding_gradient", "learning_rate", first_step=3))
        assert "warmup" not in fixes_of(finding("exploding_gradient", "weights"))
        assert "warmup" not in fixes_of(finding("loss_not_decreasing"))
        assert "warmup" in fixes_of(finding("loss_not_decreasing"), spec_of(LINEAR, OUTPUT, optimizer=ADAM))
        assert "warmup" not in fixes_of(finding("vanishing_gradient", "learning_rate"))


class TestClipping:
    def test_it_bounds_by_what_was_usual_while_all_was_well(self):
        usual = {"grad_norm_percentile": {10: 0.1, 50: 0.4, 90: 0.7}}
        assert fixed("gradient-clipping", HIGH, **usual)["training"]["clip_grad_norm"] == 0.7

    def test_under_sgd_no_step_is_longer_than_a_hundredth_of_the_weights(self):
        usual = {"grad_norm_percentile": {90: 1000.0}, "initial_weight_norm": 20.0}
        assert fixed("gradient-clipping", HIGH, **usual)["training"]["clip_grad_norm"] == pytest.approx(
            0.01 * 20 / 0.05
        )
        exploding = finding("exploding_gradient")
        adam = spec_of(LINEAR, OUTPUT, optimizer=ADAM)
        assert fixed("gradient-clipping", exploding, adam, **usual)["training"]["clip_grad_norm"] == 1000.0
        assert "gradient-clipping" not in fixes_of(HIGH, adam, **usual)

    def test_one_that_cuts_everything_is_loosened_then_lifted(self):
        cut = spec_of(LINEAR, OUTPUT, training={"clip_grad_norm": 1e-3, "clip_grad_value": 0.1})
        found = fixes_of(CUT, cut, grad_norm_percentile={90: 2.0})
        assert list(found)[:2] == ["gradient-clipping-looser", "gradient-clipping-removed"]
        assert apply_patch(cut, found["gradient-clipping-looser"].patch)["training"] == {"clip_grad_norm": 2.0}
        assert apply_patch(cut, found["gradient-clipping-removed"].patch)["training"] == {}

    def test_the_rate_comes_down_with_it_where_the_gradient_bears_less(self):
        cut = spec_of(LINEAR, OUTPUT, training={"clip_grad_norm": 1e-3}, optimizer={"type": "SGD", "lr": 10.0})
        assert fixed("gradient-clipping-removed", CUT, cut, unclipped_lr=0.1)["optimizer"]["lr"] == 0.1
        assert fixed("gradient-clipping-removed", CUT, cut, unclipped_lr=7.0)["optimizer"]["lr"] == 10.0


class TestOptimizer:
    def test_its_rate_is_the_measured_one_within_what_adam_bears(self):
        assert fixed("optimizer-adam", LOW, adam_lr=0.012)["optimizer"] == {"type": "Adam", "lr": 0.012}
        assert fixed("optimizer-adam", LOW, adam_lr=0.7)["optimizer"]["lr"] == 0.03

    def test_momentum_gets_a_tenth_of_the_rate_measured_without(self):
        momentum = fixed("optimizer-momentum", LOW, suggested_lr=0.2)["optimizer"]
        assert momentum == {"type": "SGD", "lr": 0.02, "momentum": 0.9}
        assert "optimizer-momentum" not in fixes_of(finding("vanishing_gradient", "weights"))

    def test_a_cycle_gets_the_rate_as_its_peak(self):
        cycle = spec_of(LINEAR, OUTPUT, scheduler={"type": "OneCycleLR", "max_lr": 2.0, "cycle_momentum": False})
        assert fixed("optimizer-adam", LOW, cycle, adam_lr=0.01)["scheduler"]["max_lr"] == 0.01

    @pytest.mark.parametrize(("type_", "is_replaced"), [("Adagrad", True), ("Adadelta", True), ("RMSprop", False)])
    def test_what_dies_away_is_replaced_and_what_adapts_is_not(self, type_, is_replaced):
        document = spec_of(LINEAR, OUTPUT, optimizer={"type": type_, "lr": 0.01})
        assert ("optimizer-adam" in fixes_of(LOW, document)) == is_replaced


class TestRestraint:
    def test_a_decay_forgets_in_twice_the_steps_to_the_best(self):
        document = spec_of(LINEAR, OUTPUT, optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9})
        assert fixed("weight-decay", FITTED, document, best_step=50)["optimizer"]["weight_decay"] == pytest.approx(0.01)
        assert fixed("weight-decay", FITTED, document, steps=1000)["optimizer"]["weight_decay"] == pytest.approx(0.01)

    def test_adam_becomes_adamw_and_more_of_it_is_ten_times_more(self):
        adam = spec_of(LINEAR, OUTPUT, optimizer={"type": "Adam", "lr": 0.01, "amsgrad": True})
        expected = {"type": "AdamW", "lr": 0.01, "amsgrad": True, "weight_decay": 1.0}
        assert fixed("weight-decay", FITTED, adam, best_step=50)["optimizer"] == expected
        strong = spec_of(LINEAR, OUTPUT, optimizer={"type": "AdamW", "lr": 0.01, "weight_decay": 2.0})
        assert fixed("weight-decay", FITTED, strong, best_step=50)["optimizer"]["weight_decay"] == 20.0

    def test_one_that_holds_back_is_lowered_to_a_hundredth_of_the_gradient_then_removed(self):
        heavy = spec_of(LINEAR, OUTPUT, optimizer={"type": "SGD", "lr": 0.1, "weight_decay": 1.0})
        assert fixed("weight-decay-lower", HELD, heavy)["optimizer"]["weight_decay"] == pytest.approx(0.0025, rel=0.25)
        assert fixed("weight-decay-removed", HELD, heavy)["optimizer"]["weight_decay"] == 0.0
        assert not [id_ for id_ in fixes_of(HELD) if id_.startswith("weight-decay")]

    def test_an_l1_penalty_pulls_as_hard_as_the_first_gradient(self):
        assert fixed("l1", FITTED, initial_grad_norm=0.5, parameters=10_000)["training"]["l1"] == pytest.approx(0.005)
        assert fixed("l1", FITTED)["training"]["l1"] == 1e-4
        heavy = spec_of(LINEAR, OUTPUT, training={"l1": 0.1})
        assert fixed("l1-lower", HELD, heavy)["training"]["l1"] == pytest.approx(0.001)
        assert fixed("l1-removed", HELD, heavy)["training"]["l1"] == 0.0
        assert "l1" not in fixes_of(FITTED, heavy)


class TestEarlyStopping:
    def test_it_keeps_the_best_weights(self):
        document = spec_of(LINEAR, OUTPUT, training={"steps": 1000, "evaluate_every": 10})
        stopping = fixed("early-stopping", FITTED, document, best_step=400)["training"]["early_stopping"]
        assert stopping == {"monitor": "val_loss", "patience": 10, "restore_best": True}

    def test_it_looks_more_often_where_the_best_came_too_soon(self):
        for document in (spec_of(LINEAR, OUTPUT), spec_of(LINEAR, OUTPUT, training={"steps": 400})):
            training = fixed("early-stopping", FITTED, document, best_step=40, steps_per_epoch=20)["training"]
            assert training["evaluate_every"] == 8
            assert training["early_stopping"]["patience"] == 5

    def test_where_it_is_posted_it_keeps_the_best_weights(self):
        posted = spec_of(LINEAR, OUTPUT, training={"early_stopping": {"patience": 4}})
        kept = fixed("early-stopping", FITTED, posted)["training"]["early_stopping"]
        assert kept == {"patience": 4, "restore_best": True}
        posted["training"]["early_stopping"]["restore_best"] = True
        assert "early-stopping" not in fixes_of(FITTED, posted)


class TestBatchSize:
    @pytest.mark.parametrize(("scale", "size"), [(20.0, 16), (1000.0, 64), (float("inf"), 64)])
    def test_it_is_the_noise_scale_within_sixteen_times(self, scale, size):
        document = spec_of(LINEAR, OUTPUT, training={"batch_size": 4})
        assert fixed("batch-size", NOISE, document, noise_scale=scale)["training"]["batch_size"] == size

    def test_the_steps_stay_as_many(self):
        document = spec_of(LINEAR, OUTPUT, training={"batch_size": 4, "epochs": 3})
        patched = fixed("batch-size", NOISE, document, noise_scale=40.0)["training"]
        assert patched == {"batch_size": 32, "epochs": 24}

    def test_it_says_nothing_where_the_batch_is_large_for_the_data(self):
        iris = spec_of(
            LINEAR, {"type": "Linear", "out_features": 3}, data={"type": "iris"}, training={"batch_size": 16}
        )
        assert "batch-size" not in fixes_of(NOISE, iris, noise_scale=1000.0)
        told = finding("noisy_gradient", evidence=[Evidence(signal="noise_over_batch", value=12.0)])
        four = spec_of(LINEAR, OUTPUT, training={"batch_size": 4})
        assert fixed("batch-size", told, four)["training"]["batch_size"] == 32


class TestLength:
    @pytest.mark.parametrize(("fall", "times"), [(0.9, 2), (0.25, 3), (0.1, 7), (0.03, 10)])
    def test_it_is_what_the_slope_asks_for(self, fall, times):
        assert fixed("training-length", SHORT, loss_fall=fall)["training"]["steps"] == 400 * times

    def test_a_schedule_is_stretched_with_it(self):
        step = {"type": "StepLR", "step_size": 5}
        chain = {
            "type": "SequentialLR",
            "schedulers": [{"type": "LinearLR", "total_iters": 3}, step],
            "milestones": [3],
        }
        document = spec_of(LINEAR, OUTPUT, training={"epochs": 10}, scheduler=chain)
        patched = fixed("training-length", SHORT, document, loss_fall=0.9)
        assert patched["training"]["epochs"] == 20
        assert [link.get("total_iters", link.get("step_size")) for link in patched["scheduler"]["schedulers"]] == [
            6,
            10,
        ]
        assert patched["scheduler"]["milestones"] == [6]

    @pytest.mark.parametrize("fall", [None, 0.0, -0.5, 0.01])
    def test_a_loss_that_stands_still_gets_no_more_steps(self, fall):
        assert "training-length" not in fixes_of(SHORT, loss_fall=fall)
