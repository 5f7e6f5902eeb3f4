"""From a history to the whole diagnosis: what is wrong, what was measured beside it, and the fixes with values of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gradclinic.contract.catalogue import FixRecord
from gradclinic.contract.diagnosis import Diagnosis, FixKind, RuleId
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.optimizer import Adam
from gradclinic.contract.spec import JobSpec
from gradclinic.diagnosis import diagnose
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files, facts_of
from gradclinic.fixes import learning_rate_alone, propose_fixes
from gradclinic.fixes.measured import Measured, read_history
from gradclinic.fixes.optimizer import NOT_ADAPTIVE
from gradclinic.history import History
from gradclinic.model import is_resolvable
from gradclinic.training.raised import RaisedByTorch
from gradclinic.training.range_test import suggest_learning_rate


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
    is_cut = any(finding.rule == "gradient_clipped_away" for finding in diagnosis.findings)
    measured = measure(spec, history, without_clipping=is_cut, files=files, should_stop=should_stop)
    is_valid = partial(is_resolvable, limits=limits, files=files)
    fixes = propose_fixes(document, diagnosis, is_valid=is_valid, measured=measured, records=records or {})
    alone = learning_rate_alone(document, diagnosis, measured, is_valid)
    if alone is not None and all(fix.patch != alone.patch for fix in fixes):
        fixes = [*fixes, alone]
    return diagnosis.model_copy(update={"fixes": fixes})


def measure(
    spec: JobSpec,
    history: History,
    *,
    without_clipping: bool = False,
    files: Files | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Measured:
    """Read from a history what fixes can use, and measure which learning rates the spec bears: with its optimizer, with Adam
    in its place, and, where that is in question, without its clipping.

    Raises:
        TrainingCancelled: It was asked to stop.
    """
    if spec.training.is_preflight:  # nothing is trained, for this neither
        return read_history(history)
    suggest = partial(suggest_learning_rate, files=files, should_stop=should_stop)
    rates: dict[str, Any] = {}
    try:
        facts = facts_of(spec.data, files)
        rates |= {"input_shape": facts.input_shape, "classes": facts.classes}
        rates["suggested_lr"] = suggest(spec)
        if isinstance(spec.optimizer, NOT_ADAPTIVE):
            rates["adam_lr"] = suggest(spec, optimizer=Adam(type="Adam", maximize=spec.optimizer.maximize))
        if without_clipping:
            rates["unclipped_lr"] = suggest(_without_clipping(spec))
    except (
        InvalidSpec,
        RaisedByTorch,
    ):  # what it trained on is gone since, or does not fit any more: it stays unmeasured
        pass
    return read_history(history).model_copy(update=rates)


def _without_clipping(spec: JobSpec) -> JobSpec:
    training = spec.training.model_copy(update={"clip_grad_norm": None, "clip_grad_value": None})
    return spec.model_copy(update={"training": training})
