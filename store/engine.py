"""How a database is reached: pools, and all that SQLite has to be told. Knows nothing of tables."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import Connection, Engine, create_engine, event, make_url

SQLITE_BUSY_SECONDS = 30.0
"""How long a statement waits for another writer; a chunk is written in milliseconds."""

FREE_PAGES_KEPT = 256
"""Free pages that a SQLite file keeps, a megabyte: what is written next takes them."""

PAGES_AT_ONCE = 2048
"""Pages that one transaction gives back: 8 MB, some ten milliseconds in which other writers wait."""

LOG_BYTES_KEPT = 64 * 1024 * 1024
"""What a write-ahead log is cut back to, once it has grown beyond that."""

LOG_PAGES = 8192
"""Pages of a write-ahead log, 32 MB, after which it is copied into the file; at the default of 1,000 that was two fifths of the time
that writing a history takes."""

_BEGIN = "gradclinic_sqlite_begin"
_INCREMENTAL = 2


class _BinaryCursor(psycopg.Cursor[Any]):
    """A cursor that asks for answers in binary: a blob as text is twice as long, and took three times as long to read."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = psycopg.pq.Format.BINARY  # the base sets it to text


class _Int2VectorLoader(Loader):
    """Reads the columns of an index, which SQLAlchemy's inspection of tables takes as text and psycopg does not know in binary."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        """Return the numbers with spaces between: after a header of 20 bytes each has its length before it."""
        raw = bytes(data)
        return " ".join(str(number) for _, number in struct.iter_unpack(">ih", raw[20:]))


def make_engine(url: str) -> Engine:
    """Make the engine of a database. It connects at its first use."""
    if make_url(url).get_backend_name() == "sqlite":
        return _make_sqlite_engine(url)
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=15,
        pool_timeout=10,
        pool_pre_ping=True,  # a restarted database server costs no request
        connect_args={"connect_timeout": 5, "application_name": "gradclinic", "cursor_factory": _BinaryCursor},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("int2vector", _Int2VectorLoader)

    return engine


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


def give_back_space(engine: Engine, pages: int = PAGES_AT_ONCE) -> bool:
    """Shrink a SQLite file by as many free pages at most; say whether there are more.

    PostgreSQL's autovacuum sees to that by itself. A file that was made before this was thought of cannot be shrunk in
    parts: its free pages are taken by what is written next.
    """
    if engine.dialect.name != "sqlite":
        return False
    with closing(engine.raw_connection()) as pooled:
        connection: Any = pooled.driver_connection  # each of these statements is a transaction of its own
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            return False
        excess = _free_pages(connection) - FREE_PAGES_KEPT
        if excess <= 0:
            return False
        # As a script: the statement frees a page at each step, and `execute` steps once where no columns come.
        connection.executescript(f"PRAGMA incremental_vacuum({min(excess, pages)})")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # the file ends earlier only from here on
        return excess > pages


def _free_pages(connection: Any) -> int:
    found: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return found


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
        # In a new file alone, and before anything else is written: free pages can be given back.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        # Some builds fill what is deleted with zeros: a history of 300 MB would be written once more.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL safe but for the last commits before a power cut
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN DEFERRED"))

    return engine
