"""Verdicts and the recommendation in sentences that a tired engineer understands."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Verdict
from gradclinic.trials.arm import Arm
from gradclinic.trials.judging import Comparison
from gradclinic.trials.statistics import LEAST_SEEDS


def verdict_in_words(verdict: Verdict, compared: Comparison, base: Arm) -> str:
    """Say what a verdict rests on."""
    if not compared.pairs:
        return "The two have no outcome in common that could be compared."
    numbers = _numbers(compared)
    if len(compared.pairs) < LEAST_SEEDS:
        return _given_up(compared, base, numbers)
    match verdict:
        case "verified":
            return f"Better: {numbers}.{_mended(compared)}"
        case "harmful":
            return f"Worse: {numbers}."
        case "no_effect":
            return f"No better: {numbers}."
        case _ if compared.is_better:
            return f"Better, but what it was to mend is still there: {numbers}."
        case _:
            return f"Not proven: {numbers}."


def recommendation(best: Comparison | None, tried: int) -> str:
    """Say what to do."""
    if best is None or best.arm.fix is None:
        return f"Take none of them: of {tried} change{'s' * (tried != 1)} tried, none was proven to help."
    health = _health(best.arm)
    return f"{best.arm.fix.title}: {_numbers(best)}. {health}"


def _numbers(compared: Comparison) -> str:
    base, tried = (
        sum(values) / len(values) for values in zip(*((p.base, p.tried) for p in compared.pairs), strict=True)
    )
    seeds = len(compared.pairs)
    text = f"{compared.metric} {tried:.3g} against {base:.3g} on {seeds} seed{'s' * (seeds != 1)}"
    if compared.test is None or compared.p_value is None:
        return text
    low, high = compared.test.interval
    return (
        f"{text} (difference {compared.gain:+.3g}, 95 % interval {low:+.3g} to {high:+.3g}, p = {compared.p_value:.2g})"
    )


def _given_up(compared: Comparison, base: Arm, numbers: str) -> str:
    against = "" if base.fix is None else f" on top of: {base.fix.title}"
    result = next(iter(compared.arm.results.values()))
    if result.hopeless:
        return f"Given up after {result.steps} of {result.planned} steps, where it could no longer win{against}: {numbers}."
    if compared.gain > 0:
        return f"It helped where it was tried, but another change was clearly better, or better and simpler{against}: {numbers}."
    return f"Given up after one seed, on which it did not help{against}: {numbers}."


def _mended(compared: Comparison) -> str:
    gone = compared.rules_that("vanish")
    return f" Gone: {', '.join(gone)}." if gone else ""


def _health(arm: Arm) -> str:
    healthy, seeds = arm.healthy_seeds, len(arm.results)
    if healthy == seeds:
        return f"Healthy on all {seeds} seeds."
    left = ", ".join(arm.harmful_rules())
    return f"Healthy on {healthy} of {seeds} seeds; what is left: {left}."
