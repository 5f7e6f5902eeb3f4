from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from gradclinic.contract.job import Job
from gradclinic.errors import NotFound
from store.jobs import find_job, list_jobs, request_cancel
from store.transactions import Store


def test_a_block_that_raises_leaves_nothing_and_calls_nobody(store: Store, post_job: Callable[..., Job]):
    job = post_job()
    called: list[str] = []

    def fail() -> None:
        with store.writing() as writer:
            writer.after_commit(lambda: called.append("never"))
            request_cancel(writer, job.id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with store.reading() as reader:
        assert find_job(reader, job.id) == job
    assert called == []


def test_callbacks_come_after_the_commit_and_in_order(store: Store, post_job: Callable[..., Job]):
    job = post_job()
    seen: list[object] = []

    def look() -> None:
        with store.reading() as reader:
            seen.append(find_job(reader, job.id).status)

    with store.writing() as writer:
        writer.after_commit(look)
        writer.after_commit(lambda: seen.append("second"))
        request_cancel(writer, job.id)
        assert seen == []

    assert seen == ["cancelled", "second"]


def test_the_clock_is_the_databases_and_in_utc(store: Store):
    with store.reading() as reader:
        first, second = reader.now(), reader.now()

    assert first.tzinfo is UTC
    assert first < second
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=5)


def test_an_empty_store_has_nothing(store: Store):
    with store.reading() as reader:
        assert list_jobs(reader).items == []
        for job_id in ("", "nothing", "\0", "01a1fb89-3bad-7116-b2fc-bec85b3d86b5"):
            with pytest.raises(NotFound):
                find_job(reader, job_id)
