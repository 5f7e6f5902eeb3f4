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

_CAUSE_WIDTH = 10
_MOST_EVIDENCE = 8


def render_finding(finding: Finding) -> RenderableType:
    """Lay out one finding."""
    head = Text.assemble((finding.severity, f"bold {STYLES[finding.severity]}"), "  ", (finding.rule, "bold"))
    if finding.first_step is not None:
        head.append(f"  since step {finding.first_step}", "dim")
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


def _render_cause(cause: Cause) -> RenderableType:
    share = (bar(cause.share, _CAUSE_WIDTH), "magenta")
    head = Text.assemble((cause.what, "bold"), "  ", share, f" {percent(cause.share)} of the effect")
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
            "value": Text(number(piece.value), "bold"),
            "threshold": Text("" if piece.threshold is None else number(piece.threshold)),
            "step": Text("all" if piece.step is None else str(piece.step)),
            "layer": foreign(piece.layer or ""),
        }
        table.add_row(*(cells[column] for column in columns))
    if len(evidence) == len(shown):
        return table
    return Group(table, Text(f"and {len(evidence) - len(shown)} more numbers", "dim"))
