"""How findings are laid out for a terminal: what is wrong, where, since when, why, and the numbers."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.report.bars import bar
from gradclinic.report.naming import abbreviate_layers
from gradclinic.report.writing import foreign, number, percent

STYLES = {"healthy": "green", "info": "cyan", "warning": "yellow", "critical": "red"}
"""The colour of each severity, and of each health."""

_SURE = ((0.95, "nearly certain"), (0.8, "very likely"), (0.6, "likely"))
_UNSURE = "one guess among others"
"""What is said of a confidence of at least so much, and of a smaller one."""

_CAUSE_WIDTH = 10
_MOST_EVIDENCE = 8


def render_finding(finding: Finding, last_step: int | None = None) -> RenderableType:
    """Lay out one finding of a training that ended with `last_step`."""
    head = Text.assemble((finding.severity, f"bold {STYLES[finding.severity]}"), "  ", (finding.rule, "bold"))
    if (since := since_when(finding.first_step, last_step)) is not None:
        head.append(f"  {since}", "dim")
    if finding.caused_by is not None:
        head.append(f"  follows from {finding.caused_by}", "dim")
    details = Table.grid(padding=(0, 2))
    details.add_column(style="dim", no_wrap=True)
    details.add_column()
    if finding.layers:
        details.add_row("layers", foreign(abbreviate_layers(finding.layers)))
    if finding.cause is not None:
        details.add_row("cause", _render_cause(finding.cause))
    if finding.evidence:
        details.add_row("evidence", _render_evidence(finding.evidence))
    return Group(head, Padding.indent(foreign(finding.summary), 2), Padding.indent(details, 2))


def since_when(first_step: int | None, last_step: int | None) -> str | None:
    """Say in words when a finding first showed; None where that is not known.

    >>> since_when(0, 399), since_when(120, 399), since_when(399, 399)
    ('from the start', 'since step 120', 'at the end')
    """
    if first_step is None:
        return None
    if first_step == 0:
        return "from the start"
    return "at the end" if first_step == last_step else f"since step {first_step}"


def sure_words(confidence: float) -> str:
    """Say in words how sure a cause is.

    >>> sure_words(1.0), sure_words(0.97), sure_words(0.5)
    ('certain', 'nearly certain (97 %)', 'one guess among others (50 %)')
    """
    if confidence == 1.0:
        return "certain"
    words = next((words for least, words in _SURE if confidence >= least), _UNSURE)
    return f"{words} ({percent(confidence) if confidence < 0.995 else 'above 99 %'})"


def _render_cause(cause: Cause) -> RenderableType:
    share = (bar(cause.share, _CAUSE_WIDTH), "magenta")
    head = Text.assemble((cause.what, "bold"), "  ", share, f" {percent(cause.share)} of the effect")
    if cause.confidence is not None:
        head.append(f", {sure_words(cause.confidence)}")
    return Group(head, foreign(cause.detail))


def _render_evidence(evidence: list[Evidence]) -> RenderableType:
    shown = evidence[:_MOST_EVIDENCE]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    columns = ["signal", "value", "threshold", "step", "layer"]
    if all(piece.layer is None for piece in shown):
        columns.remove("layer")
    for column in columns:
        table.add_column(column, justify="right" if column in {"value", "threshold", "step"} else "left")
    for piece in shown:
        cells = {
            "signal": foreign(piece.signal),
            "value": _render_value(piece),
            "threshold": Text("" if piece.threshold is None else number(piece.threshold)),
            "step": Text("all" if piece.step is None else str(piece.step)),
            "layer": foreign(piece.layer or ""),
        }
        table.add_row(*(cells[column] for column in columns))
    more = len(evidence) - len(shown)
    # Other words say what the summary has said; an estimate's tell what the number means.
    words = [foreign(piece.words) for piece in shown if piece.words and piece.ci95]
    return Group(table, *words, *([Text(f"and {more} more numbers", "dim")] if more else []))


def _render_value(piece: Evidence) -> Text:
    value = Text(number(piece.value), "bold")
    if piece.ci95 is not None:
        value.append(" [{}, {}]".format(*map(number, piece.ci95)), "not bold dim")
    return value
