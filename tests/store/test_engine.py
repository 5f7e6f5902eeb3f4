import threading

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from store.engine import make_engine
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
