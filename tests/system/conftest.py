"""The whole system in real processes, on the embedded default and on PostgreSQL with Redis."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from store.engine import make_engine
from store.schema import migrate
from tests.system.running import System


@pytest.fixture(params=["embedded", "production"])
def backend(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of one of the two ways to run it: its servers, with a database and keys of this test alone."""
    if request.param == "embedded":
        yield {}
        return
    database, broker = os.environ.get("GRADCLINIC_TEST_DATABASE_URL"), os.environ.get("GRADCLINIC_TEST_REDIS_URL")
    if not database or not broker:
        pytest.skip("GRADCLINIC_TEST_DATABASE_URL and GRADCLINIC_TEST_REDIS_URL name no servers")
    name = f"gradclinic_system_{uuid.uuid4().hex[:12]}"
    server = create_engine(database, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(database).set(database=name).render_as_string(hide_password=False)
    try:
        _migrate(make_engine(url))
        yield {
            "GRADCLINIC_DATABASE_URL": url,
            "GRADCLINIC_BROKER_URL": broker,
            "GRADCLINIC_BROKER_PREFIX": f"{name}:",
        }
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


@pytest.fixture
def system(backend: dict[str, str], tmp_path: Path) -> Iterator[System]:
    """An empty system of this test alone. What the test starts in it is ended with the test."""
    with System(backend, tmp_path) as system:
        yield system


def _migrate(engine: Engine) -> None:
    migrate(engine)
    engine.dispose()
