"""How a database is reached: pools, and all that SQLite has to be told. Knows nothing of tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

SQLITE_BUSY_SECONDS = 30.0
"""How long a statement waits for another writer; a chunk is written in milliseconds."""

_BEGIN = "gradclinic_sqlite_begin"


def make_engine(url: str) -> Engine:
    """Make the engine of a database. It connects at its first use."""
    if make_url(url).get_backend_name() == "sqlite":
        return _make_sqlite_engine(url)
    return create_engine(
        url,
        pool_size=5,
        max_overflow=15,
        pool_timeout=10,
        pool_pre_ping=True,  # a restarted database server costs no request
        connect_args={"connect_timeout": 5, "application_name": "gradclinic"},
    )


def for_reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read: each sees one state of the database, and can change none."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write.

    SQLite's write lock is taken at the start: a read that turns into a write otherwise fails at once with "database is
    locked" where another has written in between, and no busy timeout helps.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def _make_sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=60,  # a connection is a file handle; requests must not wait for one of those
        connect_args={"timeout": SQLITE_BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3's own BEGIN is off: `begin` below says it
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL safe but for the last commits before a power cut
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN DEFERRED"))

    return engine
