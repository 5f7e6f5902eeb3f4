"""The whole system in real processes, on the embedded default and on PostgreSQL with Redis."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.history import History
from gradclinic.training import set_threads, train
from store.engine import make_engine
from store.schema import migrate
from store.settings import Settings
from tests.conftest import DATABASES, own_broker
from tests.system.running import System, long_spec


@pytest.fixture(scope="session", params=DATABASES)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of one system for all tests on a database: a worker takes seconds to start."""
    folder = tmp_path_factory.mktemp("system")
    if request.param == "sqlite":
        yield Settings(data_dir=folder)
        return
    new_postgres: Callable[[], str] = request.getfixturevalue("new_postgres")
    with own_broker() as broker:
        yield Settings(data_dir=folder, database_url=new_postgres(), **broker)


@pytest.fixture(scope="session")
def shared_system(settings: Settings) -> Iterator[System]:
    """The system that the tests share, with its processes."""
    engine = make_engine(settings.database)
    migrate(engine)
    engine.dispose()
    with System(settings) as system:
        yield system


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    """The system, with nothing at work in it; what the test leaves live is cancelled."""
    yield shared_system
    shared_system.cancel_all()


@pytest.fixture(scope="session")
def undisturbed() -> History:
    """The history of `long_spec`, trained in this process from beginning to end."""
    set_threads()
    return train(parse_spec(long_spec())).history


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes said where a test failed."""
    report = yield
    system = getattr(item, "funcargs", {}).get("system")
    if report.failed and isinstance(system, System):
        report.sections += [(process.log.name, process.last_words()) for process in system.processes]
    return report
