"""Learning rate schedules, as they show in the recorded learning rate."""

import math

import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.training import train


def rates(scheduler, steps=12, optimizer=None, **training):
    """The recorded learning rates of a training of ten rows a step, four steps an epoch."""
    spec = {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "samples": 50, "features": 3},
        "loss": {"type": "MSELoss"},
        "optimizer": optimizer or {"type": "SGD", "lr": 1.0e-3},
        "scheduler": scheduler,
        "training": {"steps": steps, "batch_size": 10, **training},
    }
    history = train(parse_spec(spec)).history
    assert history.facts.error is None, history.facts.error
    return history["lr"].series().tolist()


def test_a_step_schedule_counts_epochs_by_default_and_steps_when_asked():
    assert rates({"type": "StepLR", "step_size": 1}) == pytest.approx([1e-3] * 4 + [1e-4] * 4 + [1e-5] * 4)
    by_step = rates({"type": "StepLR", "step_size": 5, "interval": "step"})
    assert by_step == pytest.approx([1e-3] * 5 + [1e-4] * 5 + [1e-5] * 2)


def test_milestones_and_exponential_decay():
    assert rates({"type": "MultiStepLR", "milestones": [2, 3], "gamma": 0.5, "interval": "step"}, 5) == pytest.approx(
        [1e-3, 1e-3, 5e-4, 2.5e-4, 2.5e-4]
    )
    assert rates({"type": "ExponentialLR", "gamma": 0.5, "interval": "step"}, 4) == pytest.approx(
        [1e-3, 5e-4, 2.5e-4, 1.25e-4]
    )


def test_a_cosine_reaches_its_minimum_and_restarts():
    falling = rates({"type": "CosineAnnealingLR", "T_max": 11, "interval": "step"})
    assert falling == pytest.approx([5e-4 * (1 + math.cos(math.pi * k / 11)) for k in range(12)], abs=1e-9)
    restarting = rates({"type": "CosineAnnealingWarmRestarts", "T_0": 4, "interval": "step"})
    assert restarting[:4] == pytest.approx(restarting[4:8])


def test_a_warmup_rises_and_a_polynomial_ends_at_zero():
    rising = rates({"type": "LinearLR", "start_factor": 0.1, "total_iters": 5, "interval": "step"})
    assert rising[0] == pytest.approx(1e-4)
    assert rising[5:] == pytest.approx([1e-3] * 7)
    assert rates({"type": "PolynomialLR", "total_iters": 4, "interval": "step"})[4:] == [0.0] * 8


def test_one_cycle_takes_its_length_from_the_training():
    cycle = rates({"type": "OneCycleLR", "max_lr": 0.01, "interval": "step"}, 20)
    assert max(cycle) == pytest.approx(0.01, rel=0.1)
    assert cycle[-1] < cycle[0]


def test_a_cyclic_rate_goes_up_and_down():
    cycle = rates({"type": "CyclicLR", "base_lr": 1e-4, "max_lr": 1e-3, "step_size_up": 2, "interval": "step"}, 9)
    assert cycle == pytest.approx([1e-4, 5.5e-4, 1e-3, 5.5e-4] * 2 + [1e-4])


def test_a_chain_hands_over_at_its_milestone():
    chain = {
        "type": "SequentialLR",
        "interval": "step",
        "milestones": [4],
        "schedulers": [
            {"type": "LinearLR", "start_factor": 0.25, "total_iters": 4},
            {"type": "ExponentialLR", "gamma": 0.5},
        ],
    }
    assert rates(chain, 7) == pytest.approx([2.5e-4, 4.375e-4, 6.25e-4, 8.125e-4, 1e-3, 5e-4, 2.5e-4])


EVERY = [
    {"type": "StepLR", "step_size": 3},
    {"type": "MultiStepLR", "milestones": [1, 2]},
    {"type": "ExponentialLR", "gamma": 0.9},
    {"type": "CosineAnnealingLR", "T_max": 3},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 1},
    {"type": "LinearLR"},
    {"type": "PolynomialLR"},
    {"type": "OneCycleLR", "max_lr": 0.01, "pct_start": 0.4},
    {"type": "CyclicLR", "base_lr": 1e-4, "max_lr": 1e-3, "step_size_up": 1},
    {"type": "ReduceLROnPlateau", "patience": 1},
]


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("steps", [9, 12, 21])
@pytest.mark.parametrize("scheduler", EVERY, ids=lambda scheduler: scheduler["type"])
def test_every_schedule_lasts_as_long_as_the_training(scheduler, steps, interval):
    assert len(rates({**scheduler, "interval": interval}, steps)) == steps


def test_a_schedule_that_pytorch_cannot_make_is_an_outcome():
    spec = {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "samples": 50},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "scheduler": {"type": "OneCycleLR", "max_lr": 0.1, "pct_start": 0.5},
        "training": {"epochs": 2},
    }
    error = train(parse_spec(spec)).history.facts.error
    assert error is not None
    assert error.type == "ZeroDivisionError"


def test_a_plateau_follows_the_evaluations():
    still = {"type": "SGD", "lr": 0.0}
    falling = rates({"type": "ReduceLROnPlateau", "patience": 0, "eps": 0.0}, 12, {"type": "SGD", "lr": 1e-9})
    assert falling[-1] < falling[0]
    assert rates({"type": "ReduceLROnPlateau"}, 12, still) == [0.0] * 12


@pytest.mark.parametrize(
    ("scheduler", "pointer"),
    [
        ({"type": "OneCycleLR", "max_lr": 0.1}, "/scheduler/cycle_momentum"),
        ({"type": "CyclicLR", "base_lr": 0.1, "max_lr": 0.2}, "/scheduler/cycle_momentum"),
        ({"type": "StepLR"}, "/scheduler/step_size"),
        ({"type": "MultiStepLR", "milestones": [3, 1]}, "/scheduler/milestones"),
        (
            {
                "type": "SequentialLR",
                "milestones": [1, 2],
                "schedulers": [{"type": "LinearLR"}, {"type": "PolynomialLR"}],
            },
            "/scheduler/milestones",
        ),
        (
            {
                "type": "SequentialLR",
                "milestones": [1],
                "schedulers": [{"type": "LinearLR", "interval": "step"}, {"type": "PolynomialLR"}],
            },
            "/scheduler/schedulers/0/interval",
        ),
        (
            {
                "type": "SequentialLR",
                "milestones": [1],
                "schedulers": [{"type": "ReduceLROnPlateau"}, {"type": "LinearLR"}],
            },
            "/scheduler/schedulers/0/type",
        ),
    ],
)
def test_what_cannot_be_scheduled_is_refused_at_its_place(scheduler, pointer):
    with pytest.raises(InvalidSpec) as caught:
        rates(scheduler, optimizer={"type": "Adagrad"})
    assert pointer in {fault.pointer for fault in caught.value.faults}
