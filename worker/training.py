"""Training for a job: what the loop does is written down as it goes. The one module of the worker that loads torch."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gradclinic.contract.job import EarlyFinding
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.trial import TrialResult
from gradclinic.history import History
from gradclinic.model import resolve_spec
from gradclinic.training import EarlyObserver, Observer, set_threads, train
from gradclinic.training.analysis import analyse
from gradclinic.training.proving import prove
from gradclinic.training.trial import result_of, train_trial
from store.early import save_early_findings
from store.histories import add_chunk
from store.records import read_records
from worker.attempt import Attempt

WARM_UP = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 2},
}
"""The smallest whole job. What torch and scikit-learn import on first use costs seconds, once a process."""


class StoringObserver(Observer):
    """Stores the history as it grows, and lets the lease stop the training."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def on_step(self, done: int) -> None:
        """Leave the number for the next heartbeat."""
        self._attempt.lease.step = done

    def on_chunk(self, part: History) -> None:
        """Store the chunk in a transaction of its own."""
        self._attempt.record(lambda writer, claim: add_chunk(writer, claim, part))

    def should_stop(self) -> bool:
        """Ask the attempt, which takes the question for a sign of life: it is asked between the steps of range tests, too."""
        self._attempt.lease.signs += 1
        return self._attempt.should_stop


class BaselineObserver(StoringObserver, EarlyObserver):
    """Tells what is certain of a baseline, too, and ends it there if its spec asks for that."""

    def __init__(self, attempt: Attempt, spec: JobSpec) -> None:
        StoringObserver.__init__(self, attempt)
        EarlyObserver.__init__(self, spec)

    def on_chunk(self, part: History) -> None:
        """Store the chunk, and judge the history with it."""
        StoringObserver.on_chunk(self, part)
        EarlyObserver.on_chunk(self, part)

    def on_findings(self, findings: Sequence[EarlyFinding]) -> None:
        """Keep them with the job."""
        self._attempt.record(lambda writer, claim: save_early_findings(writer, claim, findings))


def train_baseline(attempt: Attempt) -> tuple[History, TrialResult]:
    """Train the job as it was posted, diagnose it and propose fixes; return its history and its result.

    Raises:
        TrainingCancelled: The attempt asked to stop.
        InvalidSpec: A file of the data is gone, or holds something else than when the job was posted.
        LeaseLost: A chunk was refused, because another attempt holds the run.
    """
    document, files, limits = attempt.claim.document, attempt.files, attempt.limits
    spec = parse_spec(document)
    # A file may hold something else than when the job was posted: other classes, more columns, far more rows.
    resolve_spec(spec, limits, files)
    with attempt.store.reading() as reader:
        records = read_records(reader)  # before the training, which a database that is away shall not undo
    observer = BaselineObserver(attempt, spec)
    started = time.perf_counter()
    history = train(spec, observer=observer, files=files).history
    seconds = time.perf_counter() - started
    diagnosis = analyse(
        document, spec, history, files=files, limits=limits, should_stop=observer.should_stop, records=records
    )
    return history, result_of(spec, history, diagnosis, seconds=seconds)


def train_one_trial(attempt: Attempt) -> tuple[History, TrialResult]:
    """Train what the claimed trial asks for, next to its job's baseline; return its history and its result.

    Raises:
        TrainingCancelled: The attempt asked to stop.
        InvalidSpec: A file of the data is gone, or holds something else than when the job was posted.
        LeaseLost: A chunk was refused, because another attempt holds the run.
    """
    trial, baseline = attempt.claim.trial, attempt.claim.baseline
    if trial is None or baseline is None:
        raise ValueError(f"Run {attempt.claim.run_id} is no trial.")
    resolve_spec(parse_spec(trial.document), attempt.limits, attempt.files)  # as for the baseline
    observer = StoringObserver(attempt)
    return train_trial(trial, baseline, observer=observer, files=attempt.files, limits=attempt.limits)


def warm_up() -> None:
    """Set torch's threads, and run the smallest job, so that the first real one finds everything loaded."""
    set_threads()
    prove(WARM_UP)
