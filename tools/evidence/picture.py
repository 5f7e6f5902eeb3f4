"""The table of remedies and faults as a picture: an SVG, written by hand so that nothing else is needed to draw it.

Colours are told apart by lightness, too, and each cell says its word's sign and number: nobody has to see hues.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from tools.evidence.faults import Fault
from tools.evidence.measuring import Cell, Measured, Word
from tools.evidence.remedies import REMEDIES

WIDTH, HEIGHT = 64, 24
LEFT, TOP = 180, 190
FOOT = 60
GAP = 10
RIGHT = 70
"""Beside the last column, for its slanted name."""

COLOURS: Mapping[Word, tuple[str, str]] = {
    "cured": ("#1b7837", "#ffffff"),
    "helps": ("#a6dba0", "#000000"),
    "unclear": ("#fee8a8", "#000000"),
    "nothing": ("#ededed", "#555555"),
    "harms": ("#762a83", "#ffffff"),
}
"""Of each word the cell's colour and its text's, from ColorBrewer's PRGn and its like."""


def draw(measured: Measured) -> str:
    """Return the picture as SVG."""
    faults = [ground.fault for ground in measured.grounds]
    places = _places(faults)
    width = places[-1] + WIDTH + RIGHT if places else LEFT
    height = TOP + HEIGHT * len(REMEDIES) + FOOT
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" role="img" '
        'aria-label="Share of the gap to the best known outcome that each remedy closed, by fault">'
    )
    parts = [
        opening,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    parts += _headings(faults, places)
    for row, remedy in enumerate(REMEDIES):
        y = TOP + row * HEIGHT
        parts.append(_text(LEFT - 8, y + 16, remedy.id, anchor="end"))
        for fault, x in zip(faults, places, strict=True):
            parts += _cell(measured.cell(remedy.id, fault.id), x, y)
    return "\n".join([*parts, *_legend(height - FOOT + 24), "</svg>"]) + "\n"


def _places(faults: list[Fault]) -> list[int]:
    """Return where each column begins: a gap parts one kind of fault from the next."""
    places, x = [], LEFT
    for before, fault in zip([None, *faults], faults, strict=False):
        x += GAP if before is not None and before.kind != fault.kind else 0
        places.append(x)
        x += WIDTH
    return places


def _headings(faults: list[Fault], places: list[int]) -> list[str]:
    parts = []
    for kind in dict.fromkeys(fault.kind for fault in faults):
        of_it = [x for fault, x in zip(faults, places, strict=True) if fault.kind == kind]
        middle = (of_it[0] + of_it[-1] + WIDTH) // 2
        parts.append(_text(middle, 20, kind, anchor="middle"))
        parts.append(f'<rect x="{of_it[0]}" y="27" width="{of_it[-1] + WIDTH - of_it[0] - 2}" height="2" fill="#333"/>')
    for fault, x in zip(faults, places, strict=True):
        turned = f'transform="rotate(-60 {x + WIDTH // 2} {TOP - 8})"'
        parts.append(f'<text x="{x + WIDTH // 2}" y="{TOP - 8}" {turned} fill="#000000">{escape(fault.id)}</text>')
    return parts


def _cell(cell: Cell | None, x: int, y: int) -> list[str]:
    if cell is None:
        return [_text(x + WIDTH // 2, y + 16, "\N{MIDDLE DOT}", anchor="middle", fill="#999999")]
    back, front = COLOURS[cell.word]
    box = f'<rect x="{x}" y="{y}" width="{WIDTH - 2}" height="{HEIGHT - 2}" fill="{back}"/>'
    return [box, _text(x + WIDTH // 2 - 1, y + 16, percent(cell.share), anchor="middle", fill=front)]


def percent(share: float) -> str:
    """Write a share in whole percent, 0 without a sign."""
    return f"{round(100 * share):d} %"


def _legend(y: int) -> list[str]:
    parts, x = [], LEFT
    for word, (back, _) in COLOURS.items():
        parts.append(f'<rect x="{x}" y="{y - 12}" width="16" height="16" fill="{back}"/>')
        parts.append(_text(x + 22, y, word))
        x += 90
    parts.append(_text(x, y, "\N{MIDDLE DOT} not applicable"))
    words = "Numbers: share of the gap between the unchanged training and the best known one that the remedy closed."
    return [*parts, _text(LEFT, y + 22, words, fill="#555555")]


def _text(x: int, y: int, words: str, *, anchor: str = "start", fill: str = "#000000") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
