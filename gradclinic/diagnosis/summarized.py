"""Diagnosing a long history from its summary: in the same time however long the training was, and with the same findings.

What a rule asks of a signal is one of three things, and each has its place:

- *what is typical* (medians and shares over the steps, each row weighed by the steps that it stands for): the means of stretches;
- *whether something happened at all*, and when (a step too long, a gradient that exploded, a number that is none): the
  largest values of stretches, which hide nothing. The stretch in which a finding begins is then opened and judged by its rows,
  so that the step which is told is the recorded one;
- *how it began and how it ended*: rows as they were recorded, as are all signals of the whole step, such as the loss.

`SUMMED` says which statistics the rules read of which signal; a rule that asks for more has to add it there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeAlias

import numpy as np

from gradclinic.contract.diagnosis import Diagnosis, RuleId
from gradclinic.diagnosis.diagnose import RULES, diagnose
from gradclinic.history import History
from gradclinic.history.summary import Stretch, Summary

Statistic = Literal["mean", "largest"]

SUMMED: Mapping[str, tuple[Statistic, ...]] = {
    "activation_grad_norm": ("mean",),  # gains: how much of the gradient arrives, typically and for how long
    "grad_norm": ("mean", "largest"),  # the pull of the data; whether it exploded, whether it ever was anything but 0
    "grad_nonfinite": ("largest",),  # whether there was one
    "weight_norm": ("mean",),  # the pull of weight decay
    "update_ratio": ("mean", "largest"),  # the way of the weights; whether a step was too long
    "dead_fraction": ("largest",),  # since when; how it ended is among the last rows
    "saturated_fraction": ("mean", "largest"),  # whether it is typical; since when
}
"""Signals of which there are many columns, and what rules ask of their stretches."""

WHOLE = ("loss", "lr", "clipped", "val_loss")
"""Signals of the whole step that rules read, row by row: swings, trends and scatter show in no mean."""

MOST_OPENED = 8
"""Stretches that are opened before anything is judged, at most."""

ROUNDS = 4
"""How often findings may begin in a stretch that was not open yet."""

ALSO: Mapping[RuleId, tuple[str, ...]] = {"non_finite": ("grad_nonfinite",)}
"""What rules look at beside the signals that they cannot do without."""

BEFORE = "update_ratio"
"""What is asked at the beginning of every finding: whether a step that was too long came before it."""

RowsBetween: TypeAlias = Callable[[Stretch, Collection[str]], History]
"""Reads some signals of `SUMMED` in a stretch, as they were recorded."""


def diagnose_summary(
    summary: Summary, rows_between: RowsBetween, thresholds: Mapping[str, float] | None = None
) -> Diagnosis:
    """Judge a history by its summary. See `diagnose` for what is raised."""
    summary = _opened(summary, rows_between, _worth_opening(summary))
    for _ in range(ROUNDS):
        diagnosis = diagnose(summary, thresholds)
        hidden = _where_findings_begin(summary, diagnosis)
        if not hidden:
            return diagnosis
        summary = _opened(summary, rows_between, hidden)
    return diagnose(summary, thresholds)


def _opened(summary: Summary, rows_between: RowsBetween, wanted: Mapping[Stretch, set[str]]) -> Summary:
    for stretch, signals in sorted(wanted.items()):
        summary = summary.opened(stretch, rows_between(stretch, signals), signals)
    return summary


def _where_findings_begin(summary: Summary, diagnosis: Diagnosis) -> dict[Stretch, set[str]]:
    """Return the stretches in which findings begin, with the signals that they rest on; empty where all of those are open."""
    signals_of = {rule.id: {*rule.signals, *ALSO.get(rule.id, ()), BEFORE} & set(summary.largest) for rule in RULES}
    wanted: dict[Stretch, set[str]] = {}
    for finding in diagnosis.findings:
        step, signals = finding.first_step, signals_of[finding.rule]
        if step is None or summary.stretch_of(step, signals) is None:
            continue
        # A mean shows a change a stretch later, where it came near the end of one: the stretch before is opened, too.
        for near in (step, step - 1):
            if (stretch := summary.stretch_of(near, signals)) is not None:
                wanted.setdefault(stretch, set()).update(signals)
    return wanted


def _worth_opening(summary: Summary) -> dict[Stretch, set[str]]:
    """Return the stretches of which neither mean nor maximum tells enough, with the signals of which that is so.

    One number that is none leaves nothing of the others in its stretch: where such a burst begins and ends, the rows are read.
    And two steps that are too long may lie in one stretch: only its rows count them.
    """
    found: dict[Stretch, set[str]] = {}
    for signal, table in summary.largest.items():
        finite = np.isfinite(table.values)
        edges = np.flatnonzero(np.diff(~finite.all(axis=1), prepend=False, append=False))
        rows = [*edges[::2].tolist(), *(edges[1::2] - 1).tolist()]
        if signal == BEFORE and table.values.size:
            rows.append(int(np.argmax(np.where(finite, table.values, np.inf).max(axis=1))))
        for row in rows:
            if (stretch := summary.stretch_of(int(table.steps[row]), [signal])) is not None:
                found.setdefault(stretch, set()).add(signal)
    # The first ones tell how it began, the last ones how it ended.
    kept, half = sorted(found), MOST_OPENED // 2
    return {stretch: found[stretch] for stretch in (kept if len(kept) <= MOST_OPENED else kept[:half] + kept[-half:])}
