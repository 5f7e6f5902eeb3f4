"""Databases and brokers for tests: our own database and our own keys on a shared server, gone when the tests are.

Whatever asks for `database_url` (or `engine`, `store`, `settings_for`, which build on it) runs on SQLite and on
PostgreSQL; `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)` picks one. PostgreSQL and Redis come from
GRADCLINIC_TEST_DATABASE_URL and GRADCLINIC_TEST_REDIS_URL; without them those tests are skipped, and say so.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import Engine

from store.engine import make_engine
from store.schema import migrate
from store.settings import Settings
from store.tables import metadata
from store.transactions import Store

DATABASES = ("sqlite", "postgresql")


def pytest_configure() -> None:
    """Let each process of the tests compute with one thread; torch reads this when it is first imported.

    Two processes with as many threads each as there are cores wait for each other's: a training took forty times as long.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def _migrated(url: str) -> str:
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy: migrating one for every test would take longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "gradclinic.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def new_postgres() -> Iterator[Callable[[], str]]:
    """Make empty PostgreSQL databases, each with a name of its own; they are dropped at the end."""
    server = os.environ.get("GRADCLINIC_TEST_DATABASE_URL")
    if not server:
        pytest.skip("GRADCLINIC_TEST_DATABASE_URL is not set: nothing is tested on PostgreSQL.")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"gradclinic_test_{os.getpid()}_{secrets.token_hex(4)}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]}"))
        return make_url(server).set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def postgres_database(new_postgres: Callable[[], str]) -> str:
    """The migrated PostgreSQL database of this test session (of this process, where several share the tests)."""
    return _migrated(new_postgres())


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database with empty tables. Real processes can be given it too."""
    if request.param == "sqlite":
        path = tmp_path / "gradclinic.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_database")
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`, as service and worker make it."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    """The store on `database_url`."""
    return Store(engine)


@pytest.fixture
def settings_for(database_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Make settings on `database_url`, with whatever else a test wants to set."""

    def make(**values: Any) -> Settings:
        given: dict[str, Any] = {"data_dir": tmp_path, "database_url": database_url, "broker_url": None} | values
        return Settings(**given)

    return make


@pytest.fixture
def redis_settings() -> Iterator[dict[str, str]]:
    """A broker for one test, as settings."""
    with own_broker() as settings:
        yield settings


@contextmanager
def own_broker() -> Iterator[dict[str, str]]:
    """Give a broker, as settings: a prefix of its own, under which all is deleted afterwards."""
    url = os.environ.get("GRADCLINIC_TEST_REDIS_URL")
    if not url:
        pytest.skip("GRADCLINIC_TEST_REDIS_URL is not set: nothing is tested on Redis.")
    prefix = f"gradclinic-test-{os.getpid()}-{secrets.token_hex(4)}:"
    yield {"broker_url": url, "broker_prefix": prefix}
    with redis.Redis.from_url(url) as client:
        if keys := list(client.scan_iter(f"{prefix}*")):
            client.delete(*keys)
