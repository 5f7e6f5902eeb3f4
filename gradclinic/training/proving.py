"""A whole job in this process: the baseline, its diagnosis, and the proof of its fixes, one trial after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.errors import InvalidSpec, TrainingCancelled
from gradclinic.files import Files
from gradclinic.history import History
from gradclinic.training.analysis import analyse
from gradclinic.training.loop import Observer, train
from gradclinic.training.trial import result_of, train_trial
from gradclinic.trials import advance, failed_result


@dataclass(frozen=True)
class Proven:
    """What became of a job: its baseline's history, the diagnosis with verdicts, and every training behind them."""

    history: History
    diagnosis: Diagnosis
    baseline: TrialResult
    results: tuple[TrialResult, ...]
    is_finished: bool = True
    is_interrupted: bool = False
    """Whether it was the keyboard that ended it early, and not an observer."""


@dataclass(frozen=True)
class Place:
    """Where a job is: which trial is trained, None for the baseline, and how many are done and planned."""

    trial: Trial | None
    done: int
    planned: int


Watched = Callable[[Place], Observer]
"""Makes the observer of each training."""


def prove(
    document: Mapping[str, Any],
    *,
    watched: Watched = lambda _: Observer(),
    files: Files | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Proven:
    """Train a posted spec, diagnose it, and prove its fixes as its `verification` asks.

    Args:
        document: The spec as posted; its model has been resolved.
        watched: Makes the observer of each training, which can ask to stop it and with it the whole job. What is known by
            then is not lost: a proof that was stopped, or interrupted, comes back as one that is not finished.
        files: Where data under a path, or uploaded, and artifacts are found.
        limits: What a patched spec may take.

    Raises:
        TrainingCancelled: An observer asked to stop before there was a diagnosis.
        InvalidSpec: The data cannot be read, or the layers do not fit together.
        DeviceUnavailable: This machine does not have the spec's device.
        MemoryError: This machine does not have the memory.
    """
    spec = parse_spec(document)
    observer = watched(Place(None, 0, 0))
    started = time.perf_counter()
    history = train(spec, observer=observer, files=files).history
    seconds = time.perf_counter() - started
    diagnosis = analyse(document, spec, history, files=files, limits=limits, should_stop=observer.should_stop)
    baseline = result_of(spec, history, diagnosis, seconds=seconds)
    results: list[TrialResult] = []
    while (ahead := advance(document, baseline, results)).trials:
        for trial in ahead.trials:
            observer = watched(Place(trial, len(results), ahead.planned))
            try:
                results.append(_result_of(trial, baseline, observer, files, limits))
            except (TrainingCancelled, KeyboardInterrupt) as stop:
                by_hand = isinstance(stop, KeyboardInterrupt)
                return Proven(
                    history, ahead.diagnosis, baseline, tuple(results), is_finished=False, is_interrupted=by_hand
                )
    return Proven(history, ahead.diagnosis, baseline, tuple(results))


def _result_of(
    trial: Trial, baseline: TrialResult, observer: Observer, files: Files | None, limits: Limits
) -> TrialResult:
    """Train a trial; that it cannot be done speaks of it alone, and not of the job."""
    try:
        return train_trial(trial, baseline, observer=observer, files=files, limits=limits)[1]
    except (MemoryError, InvalidSpec) as error:
        return failed_result(trial, baseline, str(error) or "This machine does not have the memory.")
