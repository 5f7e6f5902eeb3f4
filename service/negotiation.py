"""Which form of an answer a caller asks for, by `Accept` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

FormT = TypeVar("FormT", bound=str)

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of HTTP, and no password
_RANGE = re.compile(rf"({_TOKEN}/{_TOKEN})\s*((?:;(?:[^,\"]|\"[^\"]*\")*)?)")
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def choose_form(accept: str | None, offers: Mapping[FormT, str]) -> FormT | None:
    """Return the form that is liked best; the first of the offers where several are, or where nothing is said.

    None if the caller takes none of them.

    Args:
        accept: The header, as it came.
        offers: The media types that there are, by form, ours best first.
    """
    liked = {kind.lower(): _quality(rest) for kind, rest in _RANGE.findall(accept or "")}
    if not liked:
        return next(iter(offers))
    quality = {form: _quality_of(media_type, liked) for form, media_type in offers.items()}
    best = max(quality, key=lambda form: quality[form])
    return best if quality[best] > 0 else None


def _quality_of(media_type: str, liked: Mapping[str, float]) -> float:
    """Return how much a media type is liked: what is said of itself counts before its family, and that before all."""
    family = media_type.partition("/")[0]
    return next((liked[kind] for kind in (media_type, f"{family}/*", "*/*") if kind in liked), 0.0)


def _quality(parameters: str) -> float:
    found = _QUALITY.search(parameters)
    return float(found[1]) if found else 1.0
