"""From a history to the whole diagnosis: what is wrong, what was measured beside it, and the fixes with values of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gradclinic.contract.catalogue import FixRecord
from gradclinic.contract.diagnosis import Diagnosis, FixKind, RuleId
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.optimizer import ASGD, SGD, Adadelta, Adagrad, Adam, Rprop
from gradclinic.contract.spec import JobSpec
from gradclinic.diagnosis import diagnose
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files
from gradclinic.fixes import learning_rate_alone, propose_fixes
from gradclinic.fixes.measured import Measured, read_history
from gradclinic.history import History
from gradclinic.model import is_resolvable
from gradclinic.training.raised import RaisedByTorch
from gradclinic.training.range_test import suggest_learning_rate

NOT_ADAPTIVE = (SGD, ASGD, Rprop, Adagrad, Adadelta)
"""Optimizers in whose place Adam would be something else. The last two are adaptive, and their steps die away or start tiny."""


def analyse(  # noqa: PLR0913 - a document, what was trained of it, and what a service or a command sets
    document: Mapping[str, Any],
    spec: JobSpec,
    history: History,
    *,
    files: Files | None = None,
    limits: Limits = DEFAULT_LIMITS,
    should_stop: Callable[[], bool] | None = None,
    records: Mapping[tuple[FixKind, RuleId], FixRecord] | None = None,
) -> Diagnosis:
    """Diagnose a training of a spec and propose fixes for it, the change of the learning rate alone among them.

    Where something harms the training, two short ones measure which learning rate it bears. Nothing is trained for a healthy one.

    Args:
        document: The spec as posted.
        spec: The same, parsed; its model has been resolved.
        history: What was recorded of its training.
        files: Where data under a path, or uploaded, and artifacts are found.
        limits: What a patched spec may take.
        should_stop: Asked between the steps of what is trained here.
        records: What was measured of the kinds of fixes over other jobs.

    Raises:
        TrainingCancelled: It was asked to stop.
    """
    diagnosis = diagnose(history, spec.diagnosis.thresholds)
    if all(finding.severity == "info" for finding in diagnosis.findings):
        return diagnosis
    measured = measure(spec, history, files=files, should_stop=should_stop)
    is_valid = partial(is_resolvable, limits=limits, files=files)
    fixes = propose_fixes(document, diagnosis, is_valid=is_valid, measured=measured, records=records or {})
    alone = learning_rate_alone(document, diagnosis, measured, is_valid)
    if alone is not None and all(fix.patch != alone.patch for fix in fixes):
        fixes = [*fixes, alone]
    return diagnosis.model_copy(update={"fixes": fixes})


def measure(
    spec: JobSpec, history: History, *, files: Files | None = None, should_stop: Callable[[], bool] | None = None
) -> Measured:
    """Read from a history what fixes can use, and measure which learning rates the spec bears, with its optimizer and with Adam.

    Raises:
        TrainingCancelled: It was asked to stop.
    """
    try:
        suggested = suggest_learning_rate(spec, files=files, should_stop=should_stop)
        adam = None
        if isinstance(spec.optimizer, NOT_ADAPTIVE):
            instead = Adam(type="Adam", maximize=spec.optimizer.maximize)
            adam = suggest_learning_rate(spec, optimizer=instead, files=files, should_stop=should_stop)
    except (
        InvalidSpec,
        RaisedByTorch,
    ):  # what it trained on is gone since, or does not fit any more: it stays unmeasured
        return read_history(history)
    return read_history(history).model_copy(update={"suggested_lr": suggested, "adam_lr": adam})
