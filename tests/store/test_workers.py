from datetime import timedelta

from sqlalchemy import select, update

from store.tables import workers
from store.transactions import Store
from store.workers import note_worker, workers_seen


def seen(store: Store, seconds: float = 30.0) -> int:
    with store.reading() as reader:
        return workers_seen(reader, seconds)


def test_a_worker_counts_once_however_often_it_notes_itself(store: Store):
    assert seen(store) == 0
    for name in ("a:1", "b:2", "a:1", "x" * 300, "x" * 300):
        with store.writing() as writer:
            note_worker(writer, name)
    assert seen(store) == 3


def test_one_that_went_silent_is_not_counted_and_later_forgotten(store: Store):
    for name, ago in (("old", 4000), ("late", 40), ("here", 0)):
        with store.writing() as writer:
            note_worker(writer, name)
            moment = writer.now() - timedelta(seconds=ago)
            writer.connection.execute(update(workers).where(workers.c.id == name).values(seen_at=moment))
    assert (seen(store), seen(store, 60)) == (1, 2)

    with store.writing() as writer:
        note_worker(writer, "here")
        assert set(writer.connection.execute(select(workers.c.id)).scalars()) == {"late", "here"}
