"""Cursors of lists: opaque to clients, a place between two rows to us. And texts that no database can look for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

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
            return created_at, row_id
    except (ValueError, TypeError, RecursionError):
        pass
    fault = Fault("/cursor", "This cursor is none that a list gave.", "`next_cursor` of the page before, unchanged")
    raise InvalidSpec([fault])


def refuse_unstorable(texts: Mapping[str, Iterable[str]]) -> None:
    """Refuse texts, given by the pointer to name them by, that hold U+0000 or half a surrogate pair.

    Raises:
        InvalidSpec: Some do. No row can, so that looking for them would only break the query.
    """
    wrong = [at for at, several in texts.items() if any(not _is_storable(text) for text in several)]
    if wrong:
        raise InvalidSpec([Fault(at, "This text holds a character that cannot be stored.", "text") for at in wrong])


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
