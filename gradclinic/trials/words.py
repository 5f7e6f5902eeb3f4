"""Verdicts and the recommendation in sentences that a tired engineer understands."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Verdict
from gradclinic.contract.training import LEAST_SEEDS
from gradclinic.trials.arm import Arm
from gradclinic.trials.judging import Comparison

WITHOUT_ROOM = "The budget had no room for it, or not for all of its seeds."


def verdict_in_words(verdict: Verdict, compared: Comparison, base: str | None, told: str | None = None) -> str:
    """Say what a verdict rests on.

    `base` is the title of what a link of a chain builds on, `told` what kept the fix from being tried as it should.
    """
    if not compared.pairs:
        return "The two have no outcome in common that could be compared."
    numbers = _numbers(compared)
    if len(compared.pairs) < LEAST_SEEDS:
        return f"{_given_up(compared, told)}{_beside(base)}: {numbers}."
    if verdict == "verified":
        return f"Better: {numbers}.{_mended(compared)}"
    return f"{_outcome(verdict, compared)}{_beside(base)}: {numbers}."


def _outcome(verdict: Verdict, compared: Comparison) -> str:
    match verdict:
        case "harmful":
            return "Worse"
        case "no_effect":
            return "No better"
        case _ if compared.is_better:
            return "Better, but what it was to mend is still there"
        case _:
            return "Not proven"


def recommendation(best: Comparison | None, tried: int, *, is_over: bool) -> str:
    """Say what to do, or that it is too early to say."""
    if best is None or best.arm.fix is None:
        if not is_over:
            return "Not settled: there are trials to do yet."
        if not tried:
            return f"Nothing was tried. {WITHOUT_ROOM.replace('it, or not', 'any fix, or not')}"
        return f"Take none of them: of {tried} change{'s' * (tried != 1)} tried, none was proven to help."
    health = _health(best.arm)
    return f"{best.arm.fix.title}: {_numbers(best)}. {health}"


def _numbers(compared: Comparison) -> str:
    base, tried = (
        sum(values) / len(values) for values in zip(*((p.base, p.tried) for p in compared.pairs), strict=True)
    )
    seeds = len(compared.pairs)
    floor = {result.floor for result in compared.base.results.values()}
    trivial = ", which is a trivial predictor's," if compared.measure == "score" and floor == {base} else ""
    text = f"{compared.metric} {_told(tried)} against {_told(base)}{trivial} on {seeds} seed{'s' * (seeds != 1)}"
    if compared.test is None or compared.p_value is None:
        return text
    low, high = compared.test.interval
    return (
        f"{text} (difference {compared.gain:+.3g}, 95 % interval {low:+.3g} to {high:+.3g}, p = {compared.p_value:.2g})"
    )


def _told(value: float) -> str:
    """Write an outcome; what rounding made of 0 is 0."""
    return f"{value if abs(value) > 1e-9 else 0.0:.3g}"


def _given_up(compared: Comparison, told: str | None) -> str:
    result, seeds = next(iter(compared.arm.results.values())), len(compared.pairs)
    if result.hopeless:
        return f"Given up after {result.steps} of {result.planned} steps, where it stood at chance or far behind"
    if told is not None:
        return f"Left open. {told.removesuffix('.')}"
    if compared.gain > 0:
        return "It helped where it was tried, but another change was clearly better, or as good and simpler"
    return f"Given up after {seeds} seed{'s' * (seeds != 1)}, on which it did not help"


def _beside(base: str | None) -> str:
    return "" if base is None else f' on top of "{base}"'


def _mended(compared: Comparison) -> str:
    gone = compared.rules_that("vanish")
    return f" Gone: {', '.join(gone)}." if gone else ""


def _health(arm: Arm) -> str:
    healthy, seeds = arm.healthy_seeds, len(arm.results)
    if healthy == seeds:
        return f"Healthy on all {seeds} seeds."
    left = ", ".join(arm.harmful_rules())
    return f"Healthy on {healthy} of {seeds} seeds; what is left: {left}."
