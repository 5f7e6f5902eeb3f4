"""An embedded database of one test, and jobs to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradclinic.contract.parse import parse_spec
from store.engine import make_engine
from store.jobs import add_job
from store.schema import ensure_schema
from store.settings import Settings
from store.transactions import Store

DOCUMENT: dict[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 120},
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=None, broker_url=None, lease_seconds=0.4, dispatch_interval=0.01)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(make_engine(settings.database))
    ensure_schema(store.engine)
    yield store
    store.close()


@pytest.fixture
def post_job(store: Store) -> Callable[[], str]:
    def post() -> str:
        with store.writing() as writer:
            return add_job(writer, document=DOCUMENT, spec=parse_spec(DOCUMENT), steps=120).id

    return post
