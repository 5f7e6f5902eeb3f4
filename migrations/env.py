"""How Alembic runs a migration here: on the connection it was given, else on the database of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection

from store.engine import for_writing, make_engine
from store.settings import Settings
from store.tables import metadata


def run(connection: Connection) -> None:
    """Run the migrations on a connection, all in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,  # SQLite alters a table by making it anew
        compare_type=True,
        transactional_ddl=True,  # SQLite can, once BEGIN is said (store/engine.py): all or nothing
    )
    with _without_foreign_keys(connection), context.begin_transaction():
        context.run_migrations()


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Turn SQLite's foreign keys off: making a table anew drops the old one, and would empty what points at it."""
    raw = connection.connection.driver_connection if connection.dialect.name == "sqlite" else None
    if raw is None:
        yield
        return
    raw.execute("PRAGMA foreign_keys = OFF")  # on the driver itself: within a transaction it would do nothing
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys = ON")


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with for_writing(make_engine(Settings().database)).connect() as own:
        run(own)
