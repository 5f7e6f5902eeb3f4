"""The service over each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store.settings import Settings
from tests.service.hands import Service, postgresql_database, serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service over each kind of database. Tests of one module share it, so they look at their own jobs alone."""
    folder = tmp_path_factory.mktemp("data")
    if request.param == "sqlite":
        with serving(Settings(data_dir=folder, database_url=None, broker_url=None, api_keys=())) as started:
            yield started
        return
    with (
        postgresql_database() as url,
        serving(Settings(data_dir=folder, database_url=url, broker_url=None, api_keys=())) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service over SQLite alone, for what no database can change."""
    folder = tmp_path_factory.mktemp("data")
    with serving(Settings(data_dir=folder, database_url=None, broker_url=None, api_keys=())) as started:
        yield started


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service with other settings."""
    open_ones = []

    def start(**changes: Any) -> Service:
        settings = Settings(
            **({"data_dir": tmp_path, "database_url": None, "broker_url": None, "api_keys": ()} | changes)
        )
        context = serving(settings)
        open_ones.append(context)
        return context.__enter__()

    yield start
    for context in open_ones:
        context.__exit__(None, None, None)
