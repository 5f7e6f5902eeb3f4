"""How numbers and words that came from elsewhere are written in a report. Lays nothing out."""

from __future__ import annotations

import math
import unicodedata

from rich.text import Text

_DRAWN_OVER = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Unicode's control, format, surrogate and private characters: they move the cursor or turn the text around."""


def number(value: float | None) -> str:
    """Write a number with three significant digits; None stands for one that is not finite.

    >>> number(5.8123e-17), number(0.21), number(400.0), number(None)
    ('5.81e-17', '0.21', '400', 'not finite')
    """
    if value is None or math.isnan(value):
        return "not finite"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.3g}" if value != round(value) or abs(value) >= 1e6 else f"{value:.0f}"


def percent(share: float) -> str:
    """Write a share of 1 in percent."""
    return f"{100 * share:.0f} %"


def foreign(text: str, style: str = "") -> Text:
    """Take over words that a user or a service wrote: never as markup, and without characters that steer a terminal."""
    kept = "".join(" " if character.isspace() else character for character in text if not _steers(character))
    return Text(kept, style)


def _steers(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) in _DRAWN_OVER
