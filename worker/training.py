"""Training for a job: what the loop does is written down as it goes. The one module of the worker that loads torch."""

from __future__ import annotations

from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.diagnosis import diagnose
from gradclinic.fixes import propose_fixes
from gradclinic.history import History
from gradclinic.model import resolve_spec
from gradclinic.training import Observer, set_threads, train
from store.histories import add_chunk
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
        """Ask the attempt."""
        return self._attempt.should_stop


def train_baseline(spec: JobSpec, attempt: Attempt) -> History:
    """Train the job as it was posted, and return its history.

    Raises:
        TrainingCancelled: The attempt asked to stop.
        InvalidSpec: A file of the data is gone, or holds something else than when the job was posted.
        LeaseLost: A chunk was refused, because another attempt holds the job.
    """
    # A file may hold something else than when the job was posted: other classes, more columns, far more rows.
    resolve_spec(spec, attempt.limits, attempt.files)
    return train(spec, observer=StoringObserver(attempt), files=attempt.files).history


def warm_up() -> None:
    """Set torch's threads, and run the smallest job, so that the first real one finds everything loaded."""
    set_threads()
    spec = parse_spec(WARM_UP)
    propose_fixes(WARM_UP, diagnose(train(spec).history))
