"""Jobs to put into the database of a test, and a database that can go away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from gradclinic.contract.parse import parse_spec
from store.jobs import add_job
from store.runs import baseline_of
from store.settings import Settings
from store.transactions import Store, Writer
from tests.worker.hands import Hands

DOCUMENT: dict[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 120},
}


class FlakyStore(Store):
    """A store whose database goes away when it is told to, or answers a commit no more."""

    away = False
    losing_acknowledgements = 0

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        if self.away:
            raise OperationalError("BEGIN", {}, ConnectionError("the server closed the connection"))
        with super().writing() as writer:
            yield writer
        if self.losing_acknowledgements:
            self.losing_acknowledgements -= 1
            raise OperationalError("COMMIT", {}, ConnectionError("the server closed the connection"))


@pytest.fixture
def flaky_store(store: Store) -> FlakyStore:
    return FlakyStore(store.engine)


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    return settings_for(lease_seconds=0.4, dispatch_interval=0.01)


@pytest.fixture
def post_job(store: Store) -> Callable[[], str]:
    def post() -> str:
        with store.writing() as writer:
            return add_job(writer, document=DOCUMENT, spec=parse_spec(DOCUMENT), steps=120).id

    return post


@pytest.fixture
def post_run(store: Store, post_job: Callable[[], str]) -> Callable[[], str]:
    """Post a job, and return the id of what waits: its baseline's run."""

    def post() -> str:
        job_id = post_job()
        with store.reading() as reader:
            return baseline_of(reader, job_id).id

    return post


@pytest.fixture
def hands(store: Store, post_job: Callable[[], str]) -> Hands:
    return Hands(store, post_job())
