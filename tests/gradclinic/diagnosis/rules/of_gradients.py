"""Symptoms in gradients, weights and units."""

from __future__ import annotations

import numpy as np

from gradclinic.history import WHOLE_STEP, TargetFacts
from tests.gradclinic.diagnosis.rules.histories import (
    LAYERS,
    PARAMETERS,
    STEPS,
    TRIVIAL_LOSS,
    course,
    each,
    history,
    whole,
)
from tests.gradclinic.diagnosis.rules.symptom import UNSPOKEN, Symptom, T, after, arriving, recurrent

OF_GRADIENTS: tuple[Symptom, ...] = (
    Symptom(
        rule="vanishing_gradient",
        make=lambda level: history(level, arriving(1e-5, 1e-2, 1.0)),
        evidence={"backward_gain": 1e-5, "activation_grad_norm": 1e-5},
        layers=("one",),
        silenced={"vanishing_gain": 1e-6},
        silent={
            "it was there at first and is gone because the loss has converged": lambda: history(
                "well", arriving(after(30, 1e-5, 1.0), 1.0, 1.0)
            ),
            "one step alone": lambda: history("failed", arriving(np.where(T == 0, 1e-5, 1.0), 1.0, 1.0)),
        },
    ),
    Symptom(
        rule="vanishing_gradient",
        make=lambda level: history(level, arriving(after(30, 1e-4, 1.0), 1.0, 1.0)),
        evidence={"backward_gain": 1e-4},
        severities=UNSPOKEN,
        first_step=30,
        layers=("one",),
    ),
    Symptom(
        rule="vanishing_gradient",
        make=lambda level: history(level, layers=recurrent(1e-4)),
        evidence={"time_gain": 1e-4},
        layers=("cell",),
        silenced={"vanishing_gain": 1e-5},
    ),
    Symptom(
        rule="exploding_gradient",
        make=lambda level: history(level, arriving(1e4, 1.0, 1.0)),
        evidence={"backward_gain": 1e4, "activation_grad_norm": 1e4},
        layers=("one",),
        silenced={"exploding_gain": 1e5},
        silent={"after the first steps alone": lambda: history("failed", arriving(after(50, 1e4, 1.0), 1.0, 1.0))},
    ),
    Symptom(
        rule="exploding_gradient",
        make=lambda level: history(
            level, {"grad_norm": each((WHOLE_STEP, *PARAMETERS), after(60, 4e4, 2.0), 1.0, 1.0, 1.0, 1.0)}
        ),
        evidence={"grad_norm_growth": 2e4},
        severities=UNSPOKEN,
        first_step=60,
        silenced={"exploding_growth": 3e4},
    ),
    Symptom(
        rule="exploding_gradient",
        make=lambda level: history(level, layers=recurrent(1e4)),
        evidence={"time_gain": 1e4},
        layers=("cell",),
        silenced={"exploding_gain": 1e5},
    ),
    Symptom(
        rule="non_finite",
        make=lambda level: history(level, {"grad_nonfinite": each(PARAMETERS, after(7, 3.0, 0.0), 0, 0, 0)}),
        evidence={"grad_nonfinite": 3.0},
        severities={"failed": "warning", "harmed": "warning", "well": "warning"},
        first_step=7,
        layers=("one",),
    ),
    Symptom(
        rule="zero_gradient",
        make=lambda level: history(level, {"grad_norm": each((WHOLE_STEP, *PARAMETERS), 2.0, 0.0, 0.0, 1.0, 1.0)}),
        evidence={"grad_norm": 0.0},
        layers=("one",),
        silent={
            "it got one once": lambda: history(
                "failed", {"grad_norm": each((WHOLE_STEP, *PARAMETERS), 2.0, T == 50, 1.0, 1.0, 1.0)}
            )
        },
    ),
    Symptom(
        rule="dead_units",
        make=lambda level: history(level, {"dead_fraction": each(("between",), after(40, 0.75, 0.1))}),
        evidence={"dead_fraction": 0.75},
        first_step=40,
        layers=("between",),
        silenced={"dead_share": 0.8},
        silent={
            "half are off": lambda: history("failed", {"dead_fraction": each(("between",), 0.5)}),
            "they woke up": lambda: history("failed", {"dead_fraction": each(("between",), after(90, 0.0, 1.0))}),
        },
    ),
    Symptom(
        rule="saturated_activations",
        make=lambda level: history(level, {"saturated_fraction": each(("between",), after(10, 0.9, 0.2))}),
        evidence={"saturated_fraction": 0.9},
        first_step=10,
        layers=("between",),
        silenced={"saturated_share": 0.95},
        silent={
            "at the end alone": lambda: history(
                "failed", {"saturated_fraction": each(("between",), after(70, 0.9, 0.2))}
            )
        },
    ),
    Symptom(
        rule="poor_initialization",
        make=lambda level: history(level, layers=[LAYERS[0].model_copy(update={"alike_units": 0.9}), *LAYERS[1:]]),
        evidence={"alike_units": 0.9},
        severities=UNSPOKEN,
        layers=("one",),
        silenced={"alike_share": 0.95},
    ),
    Symptom(
        rule="poor_initialization",
        make=lambda level: history(level, {"loss": whole(np.where(T < 5, 4 * TRIVIAL_LOSS, course(level)))}),
        evidence={"start_over_undecided": 4.0},
        severities=UNSPOKEN,
        silenced={"start_loss": 5.0},
        silent={
            "of a regression": lambda: history(
                "failed", {"loss": whole(np.where(T < 5, 4 * TRIVIAL_LOSS, course("failed")))}, task="regression"
            ),
            "rare classes": lambda: history(
                "failed",
                {"loss": whole(np.where(T < 5, 4 * TRIVIAL_LOSS, course("failed")))},
                targets=TargetFacts(class_shares=[0.97, 0.03]),
            ),
        },
    ),
    Symptom(
        rule="learning_rate_too_high",
        make=lambda level: history(
            level, {"update_ratio": each(PARAMETERS, np.where(T % 20 == 5, 3.0, 0.01), 9.0, 0.01, 9.0)}
        ),
        evidence={"update_ratio": 3.0},
        severities=UNSPOKEN,
        first_step=5,
        silenced={"too_long_update": 4.0},
        silent={
            "once, and the loss did not jump": lambda: history(
                "failed", {"update_ratio": each(PARAMETERS, np.where(T == 0, 3.0, 0.01), 9.0, 0.01, 9.0)}
            ),
        },
    ),
    Symptom(
        rule="learning_rate_too_high",
        make=lambda level: history(level, {"update_ratio": each(PARAMETERS, 0.6, 9.0, 0.6, 9.0)}),
        evidence={"update_ratio": 0.6},
        severities=UNSPOKEN,
        silenced={"overshooting_update": 0.7},
    ),
    Symptom(
        rule="learning_rate_too_high",
        make=lambda level: history(
            level,
            {
                "update_ratio": each(PARAMETERS, np.where(T == 3, 3.0, 0.01), 9.0, 0.01, 9.0),
                "loss": whole(np.where(T == 4, 20 * TRIVIAL_LOSS, course(level))),
            },
        ),
        evidence={"update_ratio": 3.0},
        severities=UNSPOKEN,
        first_step=3,
        silenced={"loss_jump": 30.0},
    ),
    Symptom(
        rule="learning_rate_too_low",
        make=lambda level: history(level, {"update_ratio": each(PARAMETERS, 1e-5, 5.0, 1e-5, 5.0)}),
        evidence={"way_of_weights": 1e-5 * STEPS, "update_ratio": 1e-5},
        severities=UNSPOKEN,
        silenced={"short_way": 1e-4},
        silent={
            "the gradient does not arrive": lambda: history(
                "failed", {"update_ratio": each(PARAMETERS, 1e-5, 5.0, 1e-5, 5.0), **arriving(1e-5, 1.0, 1.0)}
            ),
            "the loss began far above the trivial one": lambda: history(
                "failed",
                {
                    "update_ratio": each(PARAMETERS, 1e-5, 5.0, 1e-5, 5.0),
                    "loss": whole(np.full(STEPS, 10 * TRIVIAL_LOSS)),
                },
            ),
        },
    ),
    Symptom(
        rule="unchanged_weights",
        make=lambda level: history(level, {"update_ratio": each(PARAMETERS, 1e-9, 5.0, 2e-9, 5.0)}),
        evidence={"update_ratio": 2e-9},
        severities=UNSPOKEN,
        silenced={"unchanged_update": 1e-9},
        silent={
            "a single weight moves": lambda: history(
                "failed", {"update_ratio": each(PARAMETERS, 0.0, 5.0, np.where(T == 9, 1e-3, 0.0), 5.0)}
            )
        },
    ),
    Symptom(
        rule="gradient_clipped_away",
        make=lambda level: history(level, {"clipped": whole(T % 25 != 0)}),
        evidence={"clipped": 0.96, "grad_norm": 2.0},
        severities=UNSPOKEN,
        first_step=1,
        silenced={"clipped_share": 0.97},
    ),
)
