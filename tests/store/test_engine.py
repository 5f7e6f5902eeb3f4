import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from store.engine import FREE_PAGES_KEPT, give_back_space, make_engine
from store.transactions import Store

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@only_sqlite
def test_sqlite_is_told_what_it_needs(engine: Engine):
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }

    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 1}


@only_sqlite
def test_a_writer_that_reads_first_waits_for_another_and_then_sees_its_work(store: Store):
    """With a deferred BEGIN, the second writer would fail at once: its snapshot is older than the first one's commit."""
    with store.writing() as writer:
        writer.connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        writer.connection.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(20):
            with store.writing() as writer:
                n = writer.connection.execute(text("SELECT n FROM counter")).scalar_one()
                writer.connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.reading() as reader:
        assert reader.connection.execute(text("SELECT n FROM counter")).scalar_one() == 80


@only_postgresql
def test_a_reader_on_postgresql_cannot_write(store: Store):
    with pytest.raises(DBAPIError, match="read-only transaction"), store.reading() as reader:
        reader.connection.execute(text("DELETE FROM jobs"))


def test_a_reader_sees_one_state_while_others_write(store: Store):
    insert = text("INSERT INTO idempotency_keys VALUES ('a', 'b', '2026-01-01', 'c')")
    count = text("SELECT count(*) FROM idempotency_keys")
    with store.reading() as reader:
        before = reader.connection.execute(count).scalar_one()
        with store.writing() as writer:
            writer.connection.execute(insert)
        assert reader.connection.execute(count).scalar_one() == before == 0


def test_a_database_that_is_away_is_told_soon():
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(OperationalError):
        engine.connect()
    engine.dispose()


def fill_and_empty(store: Store) -> None:
    """Write twenty megabytes, and delete them."""
    with store.writing() as writer:
        writer.connection.execute(text("CREATE TABLE blobs (payload BLOB)"))
        for _ in range(20):
            writer.connection.execute(text("INSERT INTO blobs VALUES (randomblob(1000000))"))
    with store.writing() as writer:
        writer.connection.execute(text("DELETE FROM blobs"))
    checkpoint(store)


def checkpoint(store: Store) -> None:
    """Copy what stands in the log into the file."""
    with closing(store.engine.raw_connection()) as pooled:
        pooled.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@only_sqlite
def test_a_sqlite_file_gives_back_in_portions_what_was_deleted(store: Store):
    path = Path(str(store.engine.url.database))
    before = path.stat().st_size
    fill_and_empty(store)
    assert path.stat().st_size > before + 15_000_000

    portions = 1
    while give_back_space(store.engine, pages=1000):
        portions += 1

    assert portions == 5
    assert path.stat().st_size < before + 2 * FREE_PAGES_KEPT * 4096
    assert not give_back_space(store.engine)
    with store.reading() as reader:
        assert reader.connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_a_file_of_before_stays_as_large_and_works(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("CREATE TABLE kept (n INTEGER)")
    engine = make_engine(f"sqlite:///{tmp_path / 'old.db'}")
    store = Store(engine)
    fill_and_empty(store)
    size = (tmp_path / "old.db").stat().st_size

    assert not give_back_space(engine)

    with store.writing() as writer:
        writer.connection.execute(text("INSERT INTO blobs VALUES (randomblob(10000000))"))
    checkpoint(store)
    assert (tmp_path / "old.db").stat().st_size == size > 15_000_000
    store.close()


@only_postgresql
def test_postgresql_is_left_to_its_autovacuum(engine: Engine):
    assert not give_back_space(engine)
