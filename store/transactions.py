"""Transactions: one a request or task step, committed at the edge. Reading and writing are two types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, func, select

from store.engine import for_reading, for_writing


class Reader:
    """A transaction that reads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def now(self) -> datetime:
        """Ask the database for the time: hosts' clocks differ. With SQLite, this host's clock is the database's."""
        if self.connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        now: datetime = self.connection.execute(select(func.clock_timestamp())).scalar_one()
        return now.astimezone(UTC)


class Writer(Reader):
    """A transaction that writes. Whoever opened it commits it; nobody else does."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this once the transaction is committed, and never if it is rolled back."""
        self._callbacks.append(callback)


class Store:
    """A database, as transactions to be opened."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reading = for_reading(engine)
        self._writing = for_writing(engine)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open a transaction that reads one state of the database."""
        with self._reading.begin() as connection:
            yield Reader(connection)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open a transaction that writes: committed at the end of the block, rolled back on any exception."""
        with self._writing.begin() as connection:
            writer = Writer(connection)
            yield writer
        for callback in writer._callbacks:  # noqa: SLF001 - the two classes are one thing
            callback()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
