"""The tasks, each as thin as its flow: the library works, `store` remembers, the base task claims and guards.

A function here gets the attempt that `JobTask` made of the job's id.
"""

from __future__ import annotations

from gradclinic.contract.parse import parse_spec
from worker.attempt import Attempt


def train_job(attempt: Attempt) -> None:
    """Train the job's baseline, diagnose it, and propose fixes."""
    # The main process registers this task but never runs it, and shall not carry torch: half a second and 200 MB.
    from gradclinic.training.analysis import analyse  # noqa: PLC0415 - see above
    from worker.training import train_baseline  # noqa: PLC0415 - see above

    document = attempt.claim.document
    spec = parse_spec(document)
    history = train_baseline(spec, attempt)
    diagnosis = analyse(
        document,
        spec,
        history,
        files=attempt.files,
        limits=attempt.limits,
        should_stop=lambda: attempt.should_stop,
    )
    attempt.conclude(history.facts, diagnosis)
