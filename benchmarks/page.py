"""The page about performance: a template's prose around the tables of a run. No figure on it is typed in by hand."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.results import Aim, Part, Table

TEMPLATE = Path(__file__).with_name("page.md")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def write_page(parts: Mapping[str, Part], template: str) -> str:
    """Return the page.

    Args:
        parts: What was measured, by the part's name; the template holds `${name}` for each.
        template: The prose, with `${aims}` for the list of all aims.

    Raises:
        KeyError: The template names a part that was not measured.
    """
    aims = [aim for part in parts.values() for aim in part.aims]
    sections = {name: write_part(part) for name, part in parts.items()}
    return string.Template(template).substitute(sections, aims=write_aims(aims), missed=write_missed(aims))


def write_part(part: Part) -> str:
    """Return one part's tables and notes, headed by when and on what it was measured."""
    head = f"_Measured on {part.measured_on} in {part.seconds:,.0f} s: {part.machine}._"
    tables = [f"**{table.title}**\n\n{write_table(table)}" for table in part.tables]
    notes = ["\n".join(f"- {note}" for note in part.notes)] if part.notes else []
    return "\n\n".join([head, *tables, *notes])


def write_table(table: Table) -> str:
    """Return a Markdown table; what is not in the first column stands to the right."""
    lines = [table.headings, ["---", *["---:"] * (len(table.headings) - 1)], *table.rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def write_aims(aims: Iterable[Aim]) -> str:
    """Return the table of all aims. A miss is called one."""
    rows = [[aim.what, _bound(aim), _measured(aim), _verdict(aim)] for aim in aims]
    return write_table(Table(title="", headings=["what", "aim", "measured", ""], rows=rows))


def write_missed(aims: Iterable[Aim]) -> str:
    """Name the misses in a sentence each, or say that there are none."""
    missed = [aim for aim in aims if aim.verdict == "MISSED"]
    if not missed:
        return "No aim that was measured was missed."
    lines = [f"- **MISSED**: {aim.what}: {_measured(aim)}, aim {_bound(aim)}.{_reason(aim)}" for aim in missed]
    return "\n".join(["Missed:", "", *lines])


def _reason(aim: Aim) -> str:
    return f" {aim.note}" if aim.note else ""


def _verdict(aim: Aim) -> str:
    if aim.verdict == "MISSED":
        return "**MISSED**, and what it must be" if aim.misses_must else "**MISSED**"
    return aim.verdict


def _bound(aim: Aim) -> str:
    sign, bound = ("≤", aim.at_most) if aim.at_most is not None else ("≥", aim.at_least)
    must = "" if aim.must is None else f" (must {sign} {aim.must:g})"
    return f"{sign} {_with_unit(f'{bound:g}', aim.unit)}{must}"


def _measured(aim: Aim) -> str:
    return "-" if aim.measured is None else _with_unit(f"{aim.measured:,.4g}", aim.unit)


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}".rstrip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
