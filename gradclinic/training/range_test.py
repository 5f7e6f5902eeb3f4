"""A learning rate range test: a short training from a fresh initialization whose learning rate rises at each step.

At first the loss hardly moves, then it falls, and where steps become too long it rises. The rate to train with is a tenth of
the one at which the smoothed loss was lowest: there it had begun to rise already, and a whole training has to stand the rate at
every step.

Source: Smith 2017, Cyclical learning rates, arXiv 1506.01186; the tenth, the smoothing and the stop as in fastai (Howard & Gugger
2020, arXiv 2002.04688).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gradclinic.contract.optimizer import Optimizer
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import TrainingCancelled
from gradclinic.files import Files
from gradclinic.training.batches import batches
from gradclinic.training.raised import RaisedByTorch, torch_may_raise
from gradclinic.training.setup import Setup, make_setup
from gradclinic.training.step import clip, compute_gradient, reproducible

RANGES = ((1e-6, 10.0), (1e-12, 1e-5))
"""Rates between which is tried (fastai's are 1e-7 and 10), and where the loss blows up at once, as on raw inputs of a scale of
thousands, those between which is tried then."""

MOST_STEPS = 100
"""Steps of a test, as in fastai."""

SHARE = 0.25
"""Share of the steps of the training that a test takes at most."""

FEWEST_STEPS = 20
"""Steps of a test of a training that is shorter still: with fewer, the rate would jump by more than a factor of two."""

SMOOTHING = 0.8
"""Weight of the past in the average of the losses."""

BLOWN_UP = 4.0
"""A smoothed loss so many times the lowest ends the test, as in fastai, where that is no chance."""

ROOM = 10.0
"""The rate where the loss was lowest over the one that is suggested.

Measured on digits, wine, moons, three regressions, convolutions, a GRU and batches of one sample under SGD with and without
momentum and Adam, 33 trainings at a grid of nine rates each: a tenth was within a factor of ten of the best rate in 27 and ended no
better than the smallest rate in 1, where a third of it did in 4.
"""

AT_ONCE = 0.2
"""Share of the steps of a test within which a loss that blows up says that the rates began too high."""

START_STEPS = 10
"""Steps whose rates are too small to change the loss, so that they say where it starts and how much it varies by the batch."""

CHANCE = 1.5
"""Deviations by the batch that the smoothed loss has to leave the start behind by, between four and five of its own: it averages over nine.

Measured on 600 series each of normal and of squared normal noise at 25, 50 and 100 steps: at most 5 in 100 were taken for a fall.
"""

LEAST_FALL = 0.02
"""Share of its start by which the smoothed loss has to fall, too, for the test to say anything."""


@dataclass(frozen=True)
class Curve:
    """The losses at rising learning rates, as they were and smoothed."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def smoothed(self) -> list[float]:
        """The exponentially weighted means."""
        return smooth(self.losses)


def suggest_learning_rate(
    spec: JobSpec,
    *,
    optimizer: Optimizer | None = None,
    files: Files | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> float | None:
    """Find the learning rate that a spec trains well with, by a range test; the same spec gives the same rate.

    Args:
        spec: A spec whose model has been resolved.
        optimizer: To take in place of the spec's own.
        files: Where data under a path, or uploaded, are found.
        should_stop: Asked between steps.

    Returns:
        The rate; None where the loss fell at none, or the optimizer's steps do not follow from its rate (Rprop).

    Raises:
        TrainingCancelled: It was asked to stop.
    """
    curve = run_range_test(spec, optimizer=optimizer, files=files, should_stop=should_stop)
    return None if curve is None else suggested(curve)


def run_range_test(
    spec: JobSpec,
    *,
    optimizer: Optimizer | None = None,
    files: Files | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Curve | None:
    """Train shortly at rising rates. The arguments are those of `suggest_learning_rate`."""
    if (optimizer or spec.optimizer).type == "Rprop":
        return None
    changed = spec if optimizer is None else spec.model_copy(update={"optimizer": optimizer})
    curve = Curve((), ())
    for lowest, highest in RANGES:
        setup = make_setup(changed, spec.training.seed, files)
        steps = max(FEWEST_STEPS, min(MOST_STEPS, int(setup.steps * SHARE)))
        rates = np.geomspace(lowest, highest, steps).tolist()
        with reproducible(setup):
            losses = _losses(setup, rates, should_stop or (lambda: False))
        curve = Curve(tuple(rates[: len(losses)]), tuple(losses))
        if len(losses) > AT_ONCE * steps:
            break
    return curve


def suggested(curve: Curve) -> float | None:
    """Return the rate that a curve speaks for; None where the loss fell nowhere."""
    if len(curve.losses) <= START_STEPS:
        return None
    start, smoothed = np.asarray(curve.losses[:START_STEPS]), curve.smoothed
    lowest = START_STEPS + int(np.argmin(smoothed[START_STEPS:]))
    least = max(LEAST_FALL * abs(start.mean()), CHANCE * _noise(curve.losses[: lowest + 1]))
    if not start.mean() - smoothed[lowest] > least:
        return None
    return float(f"{curve.rates[lowest] / ROOM:.2g}")


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the exponentially weighted means, corrected for their start as in Kingma & Ba 2015, section 3."""
    smoothed, mean = [], 0.0
    for count, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**count))
    return smoothed


def _losses(setup: Setup, rates: Sequence[float], should_stop: Callable[[], bool]) -> list[float]:
    """Return the loss before the step at each rate, up to where it blows up or PyTorch raises."""
    training = setup.spec.training
    generator = torch.Generator().manual_seed(setup.seed)
    stream = batches(setup.data.train, training.batch_size, generator, join_single=setup.spec.joins_single)
    losses: list[float] = []
    setup.network.train()
    for rate in rates:
        if should_stop():
            raise TrainingCancelled("The training was asked to stop in its learning rate range test.")
        for group in setup.optimizer.param_groups:
            group["lr"] = rate
        try:
            loss = float(compute_gradient(setup, *next(stream)))
            clip(setup)
            with torch_may_raise():
                setup.optimizer.step()
        except RaisedByTorch:
            break
        if not math.isfinite(loss):
            break
        losses.append(loss)
        if _has_blown_up(losses):
            break
    return losses


def _has_blown_up(losses: Sequence[float]) -> bool:
    if len(losses) <= START_STEPS:
        return False
    smoothed = smooth(losses)
    lowest = min(smoothed[START_STEPS - 1 :])
    chance = CHANCE * _noise(losses[:START_STEPS])
    return bool(smoothed[-1] - lowest > (BLOWN_UP - 1) * abs(lowest) + chance)


def _noise(losses: Sequence[float]) -> float:
    """Return the deviation of a loss by its batch, from the differences of neighbours, which a slow fall hardly touches."""
    return float(np.std(np.diff(losses))) / math.sqrt(2)
