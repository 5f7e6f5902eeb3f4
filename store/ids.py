"""Ids of jobs and runs: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

from __future__ import annotations

import re
import secrets
import time

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_id() -> str:
    """Make an id: 48 bits of milliseconds, then 74 random bits. Python has this from 3.14 on (`uuid.uuid7`)."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_id(text: str) -> bool:
    """Tell whether a text can be an id at all; whatever else came in a path never reaches the database."""
    return _FORM.fullmatch(text) is not None
