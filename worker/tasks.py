"""The tasks, each as thin as its flow: the library works, `store` remembers, the base task claims and guards.

A function here gets the attempt that `RunTask` made of the run whose turn it is.
"""

from __future__ import annotations

from worker.attempt import Attempt


def train_run(attempt: Attempt) -> None:
    """Train a run and diagnose it; of a baseline propose fixes, too. What follows for its job comes with its end."""
    # The main process registers this task but never runs it, and shall not carry torch: half a second and 200 MB.
    from worker.training import train_baseline, train_one_trial  # noqa: PLC0415 - see above

    train = train_baseline if attempt.claim.trial is None else train_one_trial
    history, result = train(attempt)
    attempt.conclude(history.facts, result)
