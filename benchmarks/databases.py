"""Databases to measure on: our own, migrated, and gone afterwards. PostgreSQL comes from GRADCLINIC_TEST_DATABASE_URL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text

from gradclinic.contract.parse import parse_spec
from store.claim import Claim
from store.engine import make_engine
from store.jobs import add_job
from store.queue import claim_next
from store.schema import migrate
from store.transactions import Store

SERVER = "GRADCLINIC_TEST_DATABASE_URL"
NO_SERVER = f"PostgreSQL: not measured, {SERVER} names no server."
HISTORY_TABLES = ("history_chunks", "history_overviews")
LEASE_SECONDS = 3600.0

_DOCUMENT: Mapping[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}


def databases(folder: Path) -> dict[str, AbstractContextManager[str]]:
    """Return what there is to measure on, by name: each yields the URL of a migrated, empty database."""
    found: dict[str, AbstractContextManager[str]] = {"SQLite": _sqlite(folder)}
    if os.environ.get(SERVER):
        found["PostgreSQL"] = _postgres(os.environ[SERVER])
    return found


@contextmanager
def open_store(url: str) -> Iterator[Store]:
    """Open the store on a database, as service and worker do."""
    store = Store(make_engine(url))
    try:
        yield store
    finally:
        store.close()


def claim_run(store: Store, steps: int) -> Claim:
    """Make a job of so many steps and claim it, as a worker does: the claim's run can be written to."""
    with store.writing() as writer:
        add_job(writer, document=dict(_DOCUMENT), spec=parse_spec(dict(_DOCUMENT)), steps=steps)
    with store.writing() as writer:
        claim = claim_next(writer, worker="benchmark", lease_seconds=LEASE_SECONDS)
    assert claim is not None
    return claim


def stored_bytes(engine: Engine) -> int:
    """Return what histories take on the disk: of SQLite the whole file, of PostgreSQL their tables with all that belongs to them."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.commit()
            connection.exec_driver_sql("ROLLBACK")  # the checkpoint wants no transaction
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        return Path(str(engine.url.database)).stat().st_size
    with engine.connect() as connection:
        sizes = [
            connection.execute(text("SELECT pg_total_relation_size(:name)"), {"name": name}).scalar_one()
            for name in HISTORY_TABLES
        ]
    return sum(sizes)


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    path = folder / f"{secrets.token_hex(4)}.db"
    url = f"sqlite:///{path}"
    _migrate(url)
    yield url
    for end in ("", "-wal", "-shm", ".lock"):
        Path(f"{path}{end}").unlink(missing_ok=True)


@contextmanager
def _postgres(server: str) -> Iterator[str]:
    name = f"gradclinic_bench_{os.getpid()}_{secrets.token_hex(4)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        _migrate(url)
        yield url
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        admin.dispose()


def _migrate(url: str) -> None:
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
