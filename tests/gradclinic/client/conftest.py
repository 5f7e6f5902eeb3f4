"""A service on a real loopback socket that answers what a test tells it to, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradclinic.client import Client
from tests.gradclinic.client.stub_service import StubService, stub_service


@pytest.fixture
def stub() -> Iterator[StubService]:
    with stub_service() as stub:
        yield stub


@pytest.fixture
def client(stub: StubService) -> Iterator[Client]:
    with Client(stub.url, timeout=5) as client:
        yield client
