"""The catalogue of fix kinds, read from the headings of each fix module's docstring."""

from __future__ import annotations

import re

from gradclinic.contract.catalogue import FixInfo
from gradclinic.fixes.candidate import FixModule

APPLIES, CHANGES, COSTS, FAILS, SOURCE = HEADINGS = (
    "When it applies",
    "What it changes",
    "What it costs",
    "When it is known not to help",
    "Source",
)
"""The headings that every fix module's docstring has, in this order."""


def describe(fix: FixModule) -> FixInfo:
    """Return a fix module's entry in the catalogue."""
    title, sections = read_docstring(fix)
    return FixInfo(
        kind=fix.KIND,
        title=title,
        applies=sections[APPLIES],
        changes=sections[CHANGES],
        costs=sections.get(COSTS, ""),
        fails=sections[FAILS],
        addresses=list(fix.ADDRESSES),
        references=references(fix),
    )


def references(fix: FixModule) -> list[str]:
    """Return the papers and documents behind a kind of fix."""
    _, sections = read_docstring(fix)
    return [line.strip() for line in re.split(r"(?:^|\s)- ", sections[SOURCE]) if line.strip()]


def read_docstring(fix: FixModule) -> tuple[str, dict[str, str]]:
    """Return the first sentence of a fix module's docstring, and the text under each of its headings."""
    first, *parts = re.split(rf"^({'|'.join(HEADINGS)}):$", fix.__doc__ or "", flags=re.MULTILINE)
    sections = {heading: " ".join(text.split()) for heading, text in zip(parts[::2], parts[1::2], strict=True)}
    return " ".join(first.split()).removesuffix("."), sections
