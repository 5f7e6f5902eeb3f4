"""Symptoms in the loss, the data and the spec."""

from __future__ import annotations

import numpy as np

from gradclinic.history import InputFacts, LayerFacts, Restraint, RunError, TargetFacts, Trivial
from tests.gradclinic.diagnosis.rules.histories import LAYERS, LOSSES, STEPS, course, history, outcome, whole
from tests.gradclinic.diagnosis.rules.symptom import (
    UNSPOKEN,
    Symptom,
    T,
    best_at,
    ending_with,
    falling,
    jumping,
    later,
    overfit,
    swing,
    swinging,
)

OF_TASKS: tuple[Symptom, ...] = (
    Symptom(
        rule="oscillating_loss",
        make=lambda level: history(level, swinging(level)),
        evidence=swing(swinging("failed")["loss"][1][:, 0]),
        severities=UNSPOKEN,
        first_step=STEPS // 2,
        silenced={"oscillation_width": 0.6, "oscillation_regularity": 0.9995},
        silent={
            "noise": lambda: history(
                "harmed", {"loss": whole(course("harmed") * (1 + np.random.default_rng(0).normal(0, 0.3, STEPS)))}
            ),
            "a slow wander": lambda: history("harmed", {"loss": whole(course("harmed") + np.sin(T / 16))}),
            "a swing too small": lambda: history("harmed", swinging("harmed", 0.01)),
        },
    ),
    Symptom(
        rule="oscillating_loss",
        make=lambda level: history(level, swinging(level, period=16), steps_per_epoch=16),
        evidence=swing(swinging("failed", period=16)["loss"][1][:, 0]),
        severities=UNSPOKEN,
        first_step=STEPS // 2,
        silenced={"oscillation_width": 0.6},
    ),
    Symptom(
        rule="noisy_gradient",
        make=lambda level: history(level, jumping(level), noise_scale=320.0),
        evidence={"noise_over_batch": 20.0},
        severities=UNSPOKEN,
        first_step=STEPS // 2,
        silenced={"noise_over_batch": 30.0},
        silent={"the loss does not show it": lambda: history("failed", noise_scale=320.0)},
    ),
    Symptom(
        rule="unnormalized_input",
        make=lambda level: history(level, inputs=InputFacts(largest_scale=800.0, smallest_scale=2.0)),
        evidence={"input_scale": 800.0, "input_spread": 400.0},
        severities=UNSPOKEN,
        layers=("one",),
        silenced={"input_scale": 900.0},
        silent={
            "one feature alone is small": lambda: history(
                "failed", inputs=InputFacts(largest_scale=1.0, smallest_scale=1e-3)
            )
        },
    ),
    Symptom(
        rule="unnormalized_input",
        make=lambda level: history(level, inputs=InputFacts(largest_scale=0.01, smallest_scale=0.01)),
        evidence={"input_scale": 0.01},
        severities=UNSPOKEN,
        layers=("one",),
        silenced={"input_scale": 200.0},
    ),
    Symptom(
        rule="unnormalized_target",
        make=lambda level: history(level, targets=TargetFacts(lowest=0.0, highest=900.0, scale=300.0)),
        evidence={"target_scale": 300.0},
        severities={"failed": "critical", "harmed": None, "well": None},
        layers=("two",),
        silenced={"target_scale": 400.0},
        silent={
            "all are 0": lambda: history("failed", targets=TargetFacts(lowest=0.0, highest=0.0, scale=0.0)),
            "classes": lambda: history("failed", targets=TargetFacts(class_shares=[0.5, 0.5])),
        },
    ),
    Symptom(
        rule="loss_mismatch",
        make=lambda level: history(level, layers=ending_with("Softmax")),
        evidence={},
        layers=("end",),
        silent={"log probabilities are their own logits": lambda: history("failed", layers=ending_with("LogSoftmax"))},
    ),
    Symptom(
        rule="loss_mismatch",
        make=lambda level: history(
            level,
            layers=ending_with("Sigmoid"),
            loss="MSELoss",
            targets=TargetFacts(lowest=-3.0, highest=3.0, scale=1.0),
        ),
        evidence={},
        layers=("end",),
        silent={
            "the range holds all targets": lambda: history(
                "failed",
                layers=ending_with("Sigmoid"),
                loss="MSELoss",
                targets=TargetFacts(lowest=0.0, highest=1.0, scale=0.5),
            )
        },
    ),
    Symptom(
        rule="misplaced_activation",
        make=lambda level: history(level, layers=[LAYERS[0], LayerFacts(name="between", type="Softmax"), LAYERS[2]]),
        evidence={},
        layers=("between",),
        silent={"a softmax at the end": lambda: history("failed", layers=ending_with("Softmax"))},
    ),
    Symptom(
        rule="misplaced_activation",
        make=lambda level: history(level, layers=ending_with("ReLU")),
        evidence={},
        layers=("end",),
        silent={
            "no target is below zero": lambda: history(
                "failed",
                layers=ending_with("ReLU"),
                loss="MSELoss",
                targets=TargetFacts(lowest=0.0, highest=1.0, scale=0.5),
            )
        },
    ),
    Symptom(
        rule="misplaced_activation",
        make=lambda level: history(level, layers=[LAYERS[0], LAYERS[2]]),
        evidence={},
        layers=("one", "two"),
        silent={
            "activations may be functions": lambda: history("failed", layers=[LAYERS[0], LAYERS[2]], trivial=Trivial())
        },
    ),
    Symptom(
        rule="class_imbalance",
        make=lambda level: history(level, targets=TargetFacts(class_shares=[0.9, 0.06, 0.04])),
        evidence={"class_ratio": 22.5},
        severities=UNSPOKEN,
        silenced={"imbalance": 23.0},
        silent={
            "a class that does not occur": lambda: history("failed", targets=TargetFacts(class_shares=[0.5, 0.5, 0.0]))
        },
    ),
    Symptom(
        rule="over_regularized",
        make=lambda level: history(level, restraint=Restraint(weight_decay=0.8)),
        evidence={"decay_over_gradient": 0.8},
        severities=UNSPOKEN,
        silenced={"restraint_share": 0.9},
        silent={"a usual one": lambda: history("failed", restraint=Restraint(weight_decay=1e-4))},
    ),
    Symptom(
        rule="over_regularized",
        make=lambda level: history(level, restraint=Restraint(weight_decay=0.08, is_decoupled=True)),
        evidence={"decay_over_gradient": 0.1 * 0.08 / 0.01},
        severities=UNSPOKEN,
        silenced={"restraint_share": 0.9},
    ),
    Symptom(
        rule="over_regularized",
        make=lambda level: history(
            level,
            restraint=Restraint(l1=0.1),
            layers=[layer.model_copy(update={"weight_shape": [8, 8]}) for layer in LAYERS],
        ),
        evidence={"l1_over_gradient": 0.8},
        severities=UNSPOKEN,
        silenced={"restraint_share": 0.9},
    ),
    Symptom(
        rule="over_regularized",
        make=lambda level: history(level, restraint=Restraint(dropout=0.95)),
        evidence={"dropout": 0.95},
        severities=UNSPOKEN,
        silenced={"large_dropout": 0.96},
    ),
    Symptom(
        rule="overfitting",
        make=lambda level: overfit(level, best_metric={"failed": 0.1, "harmed": 0.46, "well": 0.98}[level]),
        evidence={"val_loss_over_best": 2.0, "val_loss_over_train_loss": 12.0},
        severities={"failed": "warning", "harmed": "warning", "well": "info"},
        first_step=40,
        silenced={"overfitting_rise": 2.5, "overfitting_gap": 13.0},
        silent={
            "the training loss rose with it": lambda: history(
                "harmed", best_at(40, 0.6, 1.2), outcome=outcome("harmed", train_loss=1.1, val_loss=1.2)
            ),
        },
    ),
    Symptom(
        rule="undertrained",
        make=lambda level: history(level, falling(level)),
        evidence={"loss_fall": later(falling("failed")["loss"][1])},
        severities={"failed": "warning", "harmed": "warning", "well": None},
        first_step=STEPS - 1,
        silenced={"still_falling": 0.15},
        silent={
            "the validation loss is past its best": lambda: history(
                "harmed", {**falling("harmed"), **best_at(60, 0.5, 0.9)}
            ),
            "it falls within its noise": lambda: history(
                "harmed", {"loss": whole(LOSSES["harmed"] * np.where(T < 80, 1.0, 0.88) * np.where(T % 2, 0.3, 1.7))}
            ),
        },
    ),
    Symptom(
        rule="loss_not_decreasing",
        make=history,
        evidence={"loss_skill": 0.0, "metric_skill": 0.0},
        severities={"failed": "critical", "harmed": None, "well": None},
        first_step=STEPS - 1,
        silent={
            "the metric is clearly better than trivial": lambda: history("failed", outcome=outcome("harmed")),
            "the loss is": lambda: history("harmed", outcome=outcome("failed", train_loss=LOSSES["harmed"])),
        },
    ),
    Symptom(
        rule="training_error",
        make=lambda level: history(level, error=RunError(step=12, type="RuntimeError", message="of 3 and 4\nmore")),
        evidence={},
        severities={"failed": "critical", "harmed": "critical", "well": "critical"},
        first_step=12,
    ),
)
