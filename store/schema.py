"""Bringing a database to the current tables. The migrations themselves stand in `migrations/`, which Alembic reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from gradclinic.errors import GradclinicError
from store.engine import for_writing
from store.transactions import Reader

LOCK_SECONDS = 120.0
"""How long a process waits for another that migrates."""

_ADVISORY_LOCK = 0x67726164  # "grad": any number, the same in every process


class SchemaOutdated(GradclinicError):
    """The database's tables are not those that this version works with."""

    code = "schema_outdated"


def ensure_schema(engine: Engine) -> None:
    """Make the embedded database ready at start; of PostgreSQL only make sure that it is.

    Several processes may start at once: one migrates SQLite, the others wait. PostgreSQL is migrated by a job of its own
    (`python -m migrations`), for there many hosts start at once and a migration is an act of the operator.

    Raises:
        SchemaOutdated: PostgreSQL was not migrated, or to another version.
    """
    if engine.dialect.name == "sqlite":
        migrate(engine)
        return
    with engine.connect() as connection:
        found, wanted = _revision(connection), _head()
    if found != wanted:
        raise SchemaOutdated(
            f"The database is at migration {found or 'none'}, and this version needs {wanted}. Run `python -m migrations` "
            "with the same GRADCLINIC_DATABASE_URL once, then start again."
        )


def migrate(engine: Engine, to: str = "head") -> None:
    """Migrate a database upwards, one process at a time.

    Raises:
        SchemaOutdated: Its migration is none of this version's.
    """
    with _alone(engine), for_writing(engine).connect() as connection:
        if to == "head" and _revision(connection) == _head():
            return
        connection.rollback()  # the look began a transaction
        try:
            command.upgrade(alembic_config(connection), to)
        except CommandError as error:
            raise SchemaOutdated(
                f"The database cannot be migrated: {error}. It was probably made by another version; start that one, or "
                "give this one a new database."
            ) from error


def schema_is_current(reader: Reader) -> bool:
    """Tell whether the database's tables are those that this version works with."""
    return _revision(reader.connection) == _head()


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, with the connection to work on."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).resolve().parent.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head() -> str | None:
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with _file_lock(engine):
            yield
        return
    with engine.connect() as connection, connection.begin():
        # A lock of the transaction, on a connection of its own: it falls with it, also when this process is killed.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield


@contextmanager
def _file_lock(engine: Engine) -> Iterator[None]:
    """Hold a lock beside the database file, which the system frees when the process dies.

    It is SQLite's own lock on an empty database: the one kind of file lock that is there on every system.
    """
    database = engine.url.database
    if not database:
        yield
        return
    path = Path(database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(f"{path}.lock", timeout=LOCK_SECONDS, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield
