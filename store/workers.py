"""Which workers are there: each notes itself now and then. Nothing is decided by it; a lease is what holds a job."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update

from store.tables import workers
from store.transactions import Reader, Writer

SEEN_SECONDS = 30.0
"""A worker that was not seen for so long is not counted; it notes itself about every ten seconds."""

KEPT = timedelta(hours=1)
"""How long the row of a worker that is gone stays."""


def note_worker(writer: Writer, name: str) -> None:
    """Note that the worker of this name is there now, and forget those that are long gone."""
    now, worker_id = writer.now(), name[:200]
    writer.connection.execute(delete(workers).where(workers.c.seen_at < now - KEPT))
    seen = update(workers).where(workers.c.id == worker_id).values(seen_at=now)
    if writer.connection.execute(seen).rowcount == 0:  # a name is one process: nobody else adds its row meanwhile
        writer.connection.execute(insert(workers).values(id=worker_id, seen_at=now))


def workers_seen(reader: Reader, seconds: float = SEEN_SECONDS) -> int:
    """Count the workers that noted themselves within the last `seconds`."""
    since = reader.now() - timedelta(seconds=seconds)
    found: int = reader.connection.execute(select(func.count()).where(workers.c.seen_at >= since)).scalar_one()
    return found
