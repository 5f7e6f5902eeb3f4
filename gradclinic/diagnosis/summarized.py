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

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.diagnosis.diagnose import diagnose
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

RowsBetween: TypeAlias = Callable[[Stretch], History]
"""Reads the signals of `SUMMED` in a stretch, as they were recorded."""


def diagnose_summary(
    summary: Summary, rows_between: RowsBetween, thresholds: Mapping[str, float] | None = None
) -> Diagnosis:
    """Judge a history by its summary. See `diagnose` for what is raised."""
    for opening in _worth_opening(summary):
        summary = summary.opened(opening, rows_between(opening))
    for _ in range(ROUNDS):
        diagnosis = diagnose(summary, thresholds)
        starts = {finding.first_step for finding in diagnosis.findings if finding.first_step is not None}
        # A mean shows a change a stretch later, where it came near the end of one: the stretch before is opened, too.
        near = [step - back for step in starts if summary.stretch_of(step) is not None for back in (0, 1)]
        hidden = {stretch for step in near if (stretch := summary.stretch_of(step)) is not None}
        if not hidden:
            return diagnosis
        for opening in sorted(hidden):
            summary = summary.opened(opening, rows_between(opening))
    return diagnose(summary, thresholds)


def _worth_opening(summary: Summary) -> Sequence[Stretch]:
    """Name the stretches of which neither mean nor maximum tells enough.

    One number that is none leaves nothing of the others in its stretch: where such a burst begins and ends, the rows are read.
    And two steps that are too long may lie in one stretch: only its rows count them.
    """
    found: dict[Stretch, None] = {}
    for signal, table in summary.largest.items():
        finite = np.isfinite(table.values)
        burst = ~finite.all(axis=1)
        edges = np.flatnonzero(np.diff(burst, prepend=False, append=False))
        rows = [*edges[::2].tolist(), *(edges[1::2] - 1).tolist()]
        if signal == "update_ratio" and table.values.size:
            rows.append(int(np.argmax(np.where(finite, table.values, np.inf).max(axis=1))))
        for row in sorted(rows):
            if (stretch := summary.stretch_of(int(table.steps[row]))) is not None:
                found[stretch] = None
    if len(found) <= MOST_OPENED:
        return list(found)
    # The first ones tell how it began, the last ones how it ended.
    half = MOST_OPENED // 2
    ordered = sorted(found)
    return [*ordered[:half], *ordered[-half:]]
