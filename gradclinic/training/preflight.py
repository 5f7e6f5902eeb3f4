"""The preflight: what can be foreseen of a training from a few batches and several seeds, without training.

Each seed's network is looked at by itself (`gradclinic.training.untrained`), one after the other over the same data. The first
seed's batches become the rows of the history, as steps of a training that never goes on: each row starts from the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradclinic.contract.optimizer import SGD
from gradclinic.contract.preflight import SEEDS, BornDead, PreflightFacts, Sharpness
from gradclinic.contract.scheduler import CyclicLR, LinearLR, OneCycleLR, SequentialLR
from gradclinic.contract.scheduler import Scheduler as SchedulerSpec
from gradclinic.errors import TrainingCancelled
from gradclinic.files import Files
from gradclinic.history import History, RunFacts
from gradclinic.training.depth import slope_of
from gradclinic.training.evaluation import Evaluations, evaluate
from gradclinic.training.raised import RaisedByTorch, torch_may_raise
from gradclinic.training.setup import Setup, reseed
from gradclinic.training.step import reproducible
from gradclinic.training.untrained import Look, Untrained

if TYPE_CHECKING:  # the loop begins a preflight
    from gradclinic.training.loop import Observer


def look_ahead(setup: Setup, observer: Observer, files: Files | None = None) -> History:
    """Look at a network before its training, from several seeds, and return what a training would: its history.

    The network is left as it was initialized. Deterministic as a training is, and it leaves the global generators alone.

    Args:
        setup: The first seed's.
        observer: Is asked between batches, and between products of the search for the sharpness, whether to stop.
        files: Where artifacts are found.

    Raises:
        TrainingCancelled: The observer asked to stop.
    """

    def between() -> None:
        if observer.should_stop():
            raise TrainingCancelled("The preflight was asked to stop.")

    observer.on_start(0)
    looks: list[Look] = []
    with reproducible(setup):
        first = Untrained(setup, between)
        looks.append(first.look())
        values = _evaluate(setup) if looks[0].error is None else {}
    if looks[0].error is None:
        looks += [_look_from(reseed(setup, setup.seed + ahead, files), between) for ahead in range(1, SEEDS)]
    history = _history(setup, first.recorder.facts, looks, values)
    if history.tables:
        observer.on_chunk(history)
    observer.on_step(0)
    return history


def _look_from(setup: Setup, between: Callable[[], None]) -> Look:
    with reproducible(setup):
        return Untrained(setup, between).look()


def _evaluate(setup: Setup) -> dict[str, float]:
    try:
        with torch_may_raise():
            return evaluate(setup)
    except RaisedByTorch:
        return {}


def _history(setup: Setup, known: RunFacts, looks: Sequence[Look], values: dict[str, float]) -> History:
    evaluations = Evaluations(setup.metrics[0])
    if values:
        evaluations.add(values, 0)
    rows = looks[0].history
    outcome = evaluations.outcome(rows, 0, setup.steps_per_epoch)
    outcome = outcome.model_copy(
        update={"train_loss": _finite(looks[0].losses.mean()) if len(looks[0].losses) else None}
    )
    facts = known.model_copy(
        update={"outcome": outcome, "error": looks[0].error, "preflight": preflight_facts(setup, looks)}
    )
    return History(rows.tables, facts)


def preflight_facts(setup: Setup, looks: Sequence[Look]) -> PreflightFacts:
    """Put together what the seeds show."""
    optimizer, lr = setup.spec.optimizer, looks[0].lr
    # A seed that raised has no lines.
    lines = [look for look in looks if look.error is None]
    return PreflightFacts(
        seeds=[look.seed for look in looks],
        batches=len(looks[0].jumps),
        samples=looks[0].samples,
        initial_losses=[_mean(look.losses) for look in looks],
        losses_without_offset=[_finite(look.without_offset) for look in looks if look.without_offset is not None],
        gradient_norms=[
            _median(look.history["grad_norm"].series()) if "grad_norm" in look.history else None for look in looks
        ],
        losses_after_step=[_median(np.array(look.jumps)) for look in looks],
        gradient=slope_of([look.gradients for look in lines], backward=True),
        signal=slope_of([look.spreads for look in lines], backward=False),
        born_dead=_born_dead(looks),
        alike=looks[0].alike,
        still_zero=looks[0].still_zero,
        sharpness=_sharpness(looks, optimizer if isinstance(optimizer, SGD) else None, lr),
        lr=lr,
        rises=_rises(setup.spec.scheduler),
        notes=list(dict.fromkeys(note for look in looks for note in _notes(look))),
    )


def _notes(look: Look) -> Iterable[str]:
    yield from look.notes
    if look.error is not None:
        yield f"PyTorch raised on seed {look.seed}: {look.error.type}."


def _born_dead(looks: Sequence[Look]) -> list[BornDead]:
    last = [look.history["dead_fraction"] for look in looks if "dead_fraction" in look.history]
    last = [table for table in last if len(table.steps)]
    if not last:
        return []
    shares = {name: [float(table.series(name)[-1]) for table in last] for name in last[0].subjects}
    return [BornDead(layer=name, shares=found) for name, found in shares.items() if max(found) > 0]


def _sharpness(looks: Sequence[Look], sgd: SGD | None, lr: float | None) -> Sharpness | None:
    values = [look.sharpness for look in looks if look.sharpness is not None]
    if not values:
        return None
    return Sharpness(values=values, border=_border(sgd, lr) if sgd is not None and lr else None)


def _border(sgd: SGD, lr: float) -> float | None:
    """Return the largest curvature that steps of SGD bear: of heavy-ball momentum b 2 (1 + b) / lr, of Nesterov's
    2 (1 + b) / (1 + 2 b) / lr (Cohen et al. 2021, arXiv 2103.00065, appendix B). None where nothing of the kind holds.
    """
    momentum = sgd.momentum
    if sgd.maximize or momentum >= 1 or sgd.dampening:
        return None
    return 2 * (1 + momentum) / (1 + 2 * momentum if sgd.nesterov else 1) / lr


def _rises(spec: SchedulerSpec | None) -> bool:
    """Say whether a schedule starts below its peak."""
    if isinstance(spec, SequentialLR):
        return any(_rises(link) for link in spec.schedulers)
    return isinstance(spec, OneCycleLR | CyclicLR) or (
        isinstance(spec, LinearLR) and spec.start_factor < spec.end_factor
    )


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return _finite(values.mean()) if len(values) else None


def _median(values: npt.NDArray[np.float64]) -> float | None:
    return _finite(np.median(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
