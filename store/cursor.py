"""Cursors of lists: opaque to clients, a place between two rows to us."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from gradclinic.errors import Fault, InvalidSpec
from store.ids import is_id


def encode_cursor(created_at: datetime, id: str) -> str:
    """Name the place after the row that was made then and has that id."""
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), id]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the moment and the id that a cursor names.

    Raises:
        InvalidSpec: It is none of ours.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        moment, row_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is not None and is_id(row_id):
            return created_at.astimezone(UTC), row_id
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    fault = Fault("/cursor", "This cursor is none that a list gave.", "`next_cursor` of the page before, unchanged")
    raise InvalidSpec([fault])
