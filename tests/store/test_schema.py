import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from store.engine import for_writing, make_engine
from store.schema import SchemaOutdated, alembic_config, ensure_schema, migrate, schema_is_current
from store.tables import metadata
from store.transactions import Store

VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'bare.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_postgres")
    return make()


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_tables_and_migrations_agree(engine: Engine):
    assert differences(engine) == []


def test_up_down_and_up_again(bare_url: str):
    engine = make_engine(bare_url)

    migrate(engine)
    with for_writing(engine).connect() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    migrate(engine)
    migrate(engine)

    assert differences(engine) == []
    with Store(engine).reading() as reader:
        assert schema_is_current(reader)
    engine.dispose()


@pytest.mark.slow
def test_processes_that_start_at_once_migrate_once(bare_url: str):
    environment = os.environ | {"GRADCLINIC_DATABASE_URL": bare_url}

    started = [subprocess.Popen([sys.executable, "-m", "migrations"], env=environment) for _ in range(3)]

    assert [process.wait(60) for process in started] == [0, 0, 0]
    engine = make_engine(bare_url)
    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize("bare_url", ["sqlite"], indirect=True)
def test_the_embedded_database_is_made_at_start_folder_and_all(bare_url: str):
    engine = make_engine(bare_url)

    ensure_schema(engine)

    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_postgresql_without_its_migration_is_refused_with_words(bare_url: str):
    engine = make_engine(bare_url)

    with pytest.raises(SchemaOutdated, match="python -m migrations"):
        ensure_schema(engine)
    with Store(engine).reading() as reader:
        assert not schema_is_current(reader)

    migrate(engine)
    ensure_schema(engine)
    engine.dispose()


def test_a_database_of_another_version_is_refused_with_words(bare_url: str):
    engine = make_engine(bare_url)
    migrate(engine)
    with for_writing(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))

    with pytest.raises(SchemaOutdated, match="version"):
        ensure_schema(engine)
    engine.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(bare_url: str):
    engine = make_engine(bare_url)
    if engine.dialect.name == "sqlite":
        Path(engine.url.database or "").parent.mkdir()
    with for_writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))  # in the way of the first migration's third table

    with pytest.raises(Exception, match="runs"):
        migrate(engine)

    assert set(inspect(engine).get_table_names()) <= {"runs", "alembic_version"}
    engine.dispose()


def test_file_names_begin_with_their_date():
    names = [path.name for path in VERSIONS.glob("*.py")]

    assert names
    assert all(name[:10].replace("_", "").isdigit() and name[10] == "_" for name in names)
