"""The page that `make evaluate` writes: every figure in it was measured by the run that wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradclinic.diagnosis import RULES
from tools.evaluation.case import families
from tools.evaluation.judging import Judged, Share, precision, recall, share_of
from tools.evaluation.margins import Flip
from tools.evaluation.perturbation import KINDS
from tools.evaluation.stability import (
    Changed,
    changes_of_clear,
    clear_cases,
    share_unturned,
    share_with_health,
    share_with_rules,
)

AIM = 0.95
"""What recall and health are held to."""


def write_page(judged: Sequence[Judged], flips: Sequence[Flip], changed: Sequence[Changed], command: str) -> str:
    """Return the whole page, as Markdown."""
    seeds = sorted({one.seed for one in judged})
    cases = {one.case.id: one.case for one in judged}
    about = (
        f"Made by `{command}`. {len(cases)} labelled cases, each trained on the seeds {', '.join(map(str, seeds))} "
        "(of the initialization, the order of the batches and the split of the data). Shares stand with Wilson's 95 % interval "
        "and the counts that they are made of; the seeds of one case resemble each other, so that the intervals are somewhat "
        "too narrow. `cases/README.md` says what the labels mean."
    )
    margins = (
        "By which factor each threshold would have to move, alone, until the rule judges a case otherwise: the nearest case "
        "that it fired on, and the nearest that it stayed silent on (first seed; `-` is none within a factor of 128)."
    )
    parts = [
        "# How often the diagnosis is right",
        about,
        _headline(judged, changed),
        "## By rule",
        _by_rule(judged),
        "## By family",
        _by_family(judged),
        "## Mistakes",
        _mistakes(judged),
        *_stability(judged, changed),
        "## Margins",
        margins,
        _margins(flips),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(judged: Sequence[Judged], changed: Sequence[Changed]) -> str:
    healthy = [one for one in judged if one.case.health == "healthy"]
    alarms = sum(one.is_false_alarm for one in healthy)
    found, right = recall(judged), share_of(judged, lambda one: one.is_health_right)
    rows = [
        ("recall of the rules that must fire", str(found), _verdict(found.value >= AIM), f"at least {AIM}"),
        ("health right", str(right), _verdict(right.value >= AIM), f"at least {AIM}"),
        ("healthy trainings with a false alarm", f"{alarms} of {len(healthy)}", _verdict(alarms == 0), "none"),
    ]
    if changed:
        unturned = share_unturned(changes_of_clear(judged, changed))
        rows.append(
            (
                "small changes that left a clear case as it was",
                str(unturned),
                _verdict(unturned.hits == unturned.of),
                "all",
            )
        )
    return _table(("figure", "measured", "", "aim"), rows)


def _verdict(is_kept: bool) -> str:
    return "kept" if is_kept else "MISSED"


def _by_rule(judged: Sequence[Judged]) -> str:
    rows = [
        (f"`{rule.id}`", str(recall(judged, rule.id)), str(precision(judged, rule.id)), _alarms(judged, rule.id))
        for rule in RULES
    ]
    return _table(("rule", "recall", "precision", "false alarms on healthy cases"), rows)


def _alarms(judged: Sequence[Judged], rule: str) -> str:
    healthy = [one for one in judged if one.case.health == "healthy"]
    return str(sum(rule in one.imagined for one in healthy))


def _by_family(judged: Sequence[Judged]) -> str:
    rows = []
    for family in families(one.case for one in judged):
        of_it = [one for one in judged if one.case.family == family]
        right: Share = share_of(of_it, lambda one: one.is_health_right)
        rows.append((family, str(len({one.case.id for one in of_it})), str(recall(of_it)), str(right)))
    return _table(("family", "cases", "recall", "health right"), rows)


def _mistakes(judged: Sequence[Judged]) -> str:
    rows = [
        (one.case.id, str(one.seed), "; ".join(wrong), _said(one))
        for one in sorted(judged, key=lambda one: (one.case.id, one.seed))
        if (wrong := _wrong(one))
    ]
    return _table(("case", "seed", "what is wrong", "what was said"), rows) if rows else "None."


def _wrong(one: Judged) -> list[str]:
    wrong = [f"missed {rule}" for rule in one.missed]
    wrong += [] if one.is_health_right else [f"{one.diagnosis.health} instead of {one.case.health}"]
    return wrong + [f"imagined {rule}: {one.fired[rule].summary}" for rule in one.imagined]


def _said(one: Judged) -> str:
    return ", ".join(f"{rule} ({finding.severity})" for rule, finding in one.fired.items()) or "nothing"


def _stability(judged: Sequence[Judged], changed: Sequence[Changed]) -> list[str]:
    if not changed:
        return []
    cases, clear = {one.case.id for one in judged}, clear_cases(judged)
    about = (
        f"Each case again with one thing changed a little, on the same seeds, judged by the same label. {len(clear)} of {len(cases)} "
        "cases are clear: the unchanged ones are judged rightly on every seed. Shares are of those; a change that a case does not "
        f"allow is not made (the last column, of all cases). Not clear: {', '.join(sorted(cases - clear)) or 'none'}."
    )
    return ["## Small changes", about, _by_kind(judged, changed), "### What turned over", _turned(judged, changed)]


def _by_kind(judged: Sequence[Judged], changed: Sequence[Changed]) -> str:
    rows = []
    for kind in KINDS:
        of_it = [one for one in changed if one.kind == kind]
        made = changes_of_clear(judged, of_it)
        without = len({one.case for one in of_it if one.judged is None})
        rows.append(
            (kind, str(share_with_rules(made)), str(share_with_health(made)), f"{without} cases" if without else "-")
        )
    made = changes_of_clear(judged, changed)
    rows.append(("all", str(share_with_rules(made)), str(share_with_health(made)), ""))
    return _table(("change", "rules that must fire still do", "health still right", "not applicable"), rows)


def _turned(judged: Sequence[Judged], changed: Sequence[Changed]) -> str:
    before = {(one.case.id, one.seed): one for one in judged}
    rows = []
    for one in changes_of_clear(judged, changed):
        if one.turned and one.judged is not None:
            metrics = f"{_metric(before[one.case, one.seed])} to {_metric(one.judged)}"
            rows.append((one.case, str(one.seed), one.kind, metrics, "; ".join(_wrong(one.judged)), _said(one.judged)))
    rows.sort()
    headings = ("case", "seed", "change", "metric", "what is wrong", "what was said")
    return _table(headings, rows) if rows else "None."


def _metric(one: Judged) -> str:
    outcome = one.diagnosis.outcome
    value = outcome.metric.value if outcome and outcome.metric else None
    return "-" if value is None else f"{value:.3g}"


def _margins(flips: Iterable[Flip]) -> str:
    found = list(flips)
    rows = []
    for rule, threshold in dict.fromkeys((flip.rule, flip.threshold) for flip in found):
        of_it = [flip for flip in found if (flip.rule, flip.threshold) == (rule, threshold)]
        rows.append((f"`{rule}`", f"`{threshold}`", _closest(of_it, fired=True), _closest(of_it, fired=False)))
    return _table(("rule", "threshold", "nearest case it fired on", "nearest case it was silent on"), rows)


def _closest(flips: Iterable[Flip], *, fired: bool) -> str:
    moved = [(max(flip.factor, 1 / flip.factor), flip) for flip in flips if flip.fired == fired and flip.factor]
    if not moved:
        return "-"
    _, nearest = min(moved, key=lambda one: one[0])
    return f"{nearest.case}, at {nearest.factor:.3g} times"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
