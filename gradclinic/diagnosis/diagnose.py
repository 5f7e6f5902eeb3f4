"""From a history to a diagnosis: every rule is asked, consequences are tied to their causes, the worst stands first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gradclinic.contract.catalogue import RuleInfo
from gradclinic.contract.diagnosis import Diagnosis, Finding, Health, RuleId, Severity
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.foresight import foretold, preflight_notes
from gradclinic.diagnosis.learning import LEAST_LOSSES
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.rules import (
    class_imbalance,
    dead_units,
    exploding_gradient,
    gradient_clipped_away,
    learning_rate_too_high,
    learning_rate_too_low,
    loss_mismatch,
    loss_not_decreasing,
    misplaced_activation,
    noisy_gradient,
    non_finite,
    oscillating_loss,
    over_regularized,
    overfitting,
    poor_initialization,
    saturated_activations,
    training_error,
    unchanged_weights,
    undertrained,
    unnormalized_input,
    unnormalized_target,
    vanishing_gradient,
    zero_gradient,
)
from gradclinic.errors import InvalidHistory
from gradclinic.history import History

RULES: tuple[Rule, ...] = (
    training_error.RULE,
    loss_mismatch.RULE,
    misplaced_activation.RULE,
    unnormalized_input.RULE,
    unnormalized_target.RULE,
    poor_initialization.RULE,
    exploding_gradient.RULE,
    over_regularized.RULE,
    learning_rate_too_high.RULE,
    dead_units.RULE,
    saturated_activations.RULE,
    gradient_clipped_away.RULE,
    vanishing_gradient.RULE,
    zero_gradient.RULE,
    unchanged_weights.RULE,
    learning_rate_too_low.RULE,
    noisy_gradient.RULE,
    oscillating_loss.RULE,
    class_imbalance.RULE,
    overfitting.RULE,
    undertrained.RULE,
    non_finite.RULE,
    loss_not_decreasing.RULE,
)
"""All rules, causes before their consequences."""

_WEIGHT: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}


def diagnose(history: History, thresholds: Mapping[str, float] | None = None) -> Diagnosis:
    """Judge a history. The result has no fixes: those depend on the spec (`gradclinic.fixes`).

    Args:
        history: What was recorded. A rule whose signals are missing is named in `notes`, never passed silently.
        thresholds: Overrides of documented thresholds, by name.

    Raises:
        InvalidHistory: Nothing was recorded at all, so that nothing can be said.
    """
    if not history.tables and history.facts.steps_planned is None:
        raise InvalidHistory(
            "Nothing was recorded. Call recorder.step(loss) after each optimizer.step(), inside `with Recorder(...)`."
        )
    case = Case(history, thresholds)
    findings: dict[RuleId, Finding] = {}
    notes = list(history.facts.notes)  # what the recorder could not see
    unforeseen: list[RuleId] = []
    for rule in RULES:
        judge = rule.check if case.preflight is None else rule.foresee
        if judge is None:
            unforeseen.append(rule.id)
            continue
        missing = [signal for signal in rule.signals if signal not in history]
        if missing:
            notes.append(f"{rule.id} was not judged: {', '.join(missing)} was not recorded.")
        elif finding := judge(case):
            finding = finding if case.preflight is None else foretold(finding)
            findings[rule.id] = finding.model_copy(update={"caused_by": _cause_of(rule, finding, findings)})
    if case.preflight is not None:
        notes.extend(preflight_notes(case, case.preflight, unforeseen))
    elif not case.learning.skills and not case.learning.diverged:
        notes.append(
            "Whether anything was learned is not known: neither a loss nor a metric can be compared with a trivial one, for "
            f"which the first losses stand in where at least {LEAST_LOSSES} were recorded. Symptoms are told as info for "
            "that reason."
        )
    if (ended := _ending_of(history)) is not None:
        by, words = ended
        notes.append(f"The training {words}, when {by} was certain.")
        if by in findings:
            told = f"{findings[by].summary} The training {words}."
            findings[by] = findings[by].model_copy(update={"summary": told})
    return Diagnosis(
        health=_health(findings.values()),
        outcome=history.facts.outcome,
        findings=_ordered(list(findings.values())),
        preflight=case.preflight,
        notes=notes,
    )


def _ending_of(history: History) -> tuple[RuleId, str] | None:
    """Return what ended the training before its last step, and how that is said; None where nothing did."""
    outcome = history.facts.outcome
    if outcome is None or outcome.stopped_by is None:
        return None
    planned = outcome.steps + outcome.steps_saved
    return outcome.stopped_by, f"was ended at step {outcome.steps} of {planned}: {outcome.steps_saved} steps saved"


def _cause_of(rule: Rule, finding: Finding, found: Mapping[RuleId, Finding]) -> RuleId | None:
    """Return the first of the rule's possible causes that was found, does harm itself, and did not come later."""
    for cause in rule.caused_by:
        earlier = found.get(cause)
        if earlier and earlier.severity != "info" and _start(earlier) <= _start(finding):
            return cause
    return None


def _start(finding: Finding) -> int:
    return finding.first_step or 0


def _health(findings: Iterable[Finding]) -> Health:
    severities = {finding.severity for finding in findings}
    if "critical" in severities:
        return "critical"
    return "warning" if "warning" in severities else "healthy"


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Sort by severity, causes before what follows from them; the sort is stable, and `RULES` has causes first."""
    return sorted(findings, key=lambda finding: (_WEIGHT[finding.severity], finding.caused_by is not None))


def catalogue() -> list[RuleInfo]:
    """Return the documentation of every rule."""
    return [rule.info() for rule in RULES]
