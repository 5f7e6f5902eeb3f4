"""The whole system in real processes, on the embedded default and on PostgreSQL with Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.history import History
from gradclinic.training import set_threads, train
from store.settings import Settings
from tests.system.running import System, long_spec


@pytest.fixture
def system(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[System]:
    """A system of this test alone, with an empty database. What the test starts in it is ended with the test."""
    servers = {}
    if not database_url.startswith("sqlite"):
        servers = {"database_url": database_url, **request.getfixturevalue("redis_settings")}
    settings = Settings(data_dir=tmp_path, **servers)
    assert settings.database == database_url  # the embedded default finds its database by itself
    with System(settings) as system:
        yield system


@pytest.fixture(scope="session")
def undisturbed() -> History:
    """The history of `long_spec`, trained in this process from beginning to end."""
    set_threads()
    return train(parse_spec(long_spec())).history
