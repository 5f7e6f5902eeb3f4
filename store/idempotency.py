"""Answers kept by idempotency key, so that a request sent twice acts once. What an answer holds is the service's business."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from gradclinic.errors import Conflict, KeyReused
from store.tables import idempotency_keys
from store.transactions import Reader, Writer

KEPT = timedelta(hours=24)
"""How long an answer is kept, as the contract says."""


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it was given: HTTP status, headers and body."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def recall_answer(reader: Reader, key: str, fingerprint: str) -> StoredAnswer | None:
    """Return the answer that a request with this key got, or None for a new key.

    Asked by a `Writer`, it also waits for another request with the same key that is just at work: recall, act and keep in
    one transaction, and of two such requests one acts and the other gets its answer.

    Raises:
        KeyReused: The key came with another fingerprint before.
    """
    if isinstance(reader, Writer) and reader.connection.dialect.name == "postgresql":
        # Until the end of the transaction. SQLite has one writer at a time anyway.
        reader.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    kept = idempotency_keys.c
    query = select(kept.fingerprint, kept.answer).where(kept.key == key, kept.created_at >= reader.now() - KEPT)
    row = reader.connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise KeyReused(
            f"The idempotency key {key!r} came with another request before. Use a new key for every new request, and the "
            "same one only to repeat a request unchanged."
        )
    return StoredAnswer(**json.loads(row.answer))


def keep_answer(writer: Writer, key: str, fingerprint: str, answer: StoredAnswer) -> None:
    """Keep the answer to a request for 24 hours.

    Raises:
        Conflict: Another request with this key was answered meanwhile; this transaction has to be given up.
    """
    kept = idempotency_keys.c
    now = writer.now()
    writer.connection.execute(delete(idempotency_keys).where(kept.key == key, kept.created_at < now - KEPT))
    text = json.dumps({"status": answer.status, "body": answer.body, "headers": answer.headers})
    row = {"key": key, "fingerprint": fingerprint, "created_at": now, "answer": text}
    try:
        writer.connection.execute(insert(idempotency_keys).values(**row))
    except IntegrityError as error:
        raise Conflict(f"A request with the idempotency key {key!r} was just answered; send this one again.") from error


def forget_old_answers(writer: Writer) -> None:
    """Delete the answers that were kept long enough."""
    writer.connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < writer.now() - KEPT))
