from collections.abc import Callable
from datetime import UTC

import pytest
from sqlalchemy import event, func, select

from gradclinic.contract.job import Job
from gradclinic.errors import InvalidSpec, JobIsLive, NotFound
from gradclinic.history import History, RunFacts
from store.claim import Claim
from store.cursor import encode_cursor
from store.histories import add_chunk, save_facts
from store.jobs import delete_job, find_job, list_jobs, request_cancel
from store.runs import baseline_of, find_run, runs_of_job
from store.tables import metadata
from store.transactions import Store
from tests.attempts import end_baseline

PostJob = Callable[..., Job]


def test_a_posted_job_is_queued_with_a_baseline_and_its_document_as_posted(store: Store, post_job: PostJob):
    job = post_job(name="näme ☃", labels={"team": "vision", "a": "b"})

    with store.reading() as reader:
        found = find_job(reader, job.id)
        runs = runs_of_job(reader, job.id)
        assert runs == [baseline_of(reader, job.id)] == [find_run(reader, runs[0].id)]

    assert found == job
    assert (job.status, job.health, job.attempt, job.version, job.cancel_requested) == ("queued", None, 0, 1, False)
    assert (job.name, job.labels) == ("näme ☃", {"team": "vision", "a": "b"})
    assert job.progress.steps == 120
    assert job.spec["training"] == {"steps": 120, "seed": 4294967295}
    assert "recording" not in job.spec  # as posted: defaults are not filled in
    assert job.created_at.tzinfo is UTC
    assert (runs[0].kind, runs[0].status, runs[0].seed, runs[0].steps_done) == ("baseline", "queued", 4294967295, 0)
    assert runs[0].job_id == job.id


def test_pages_list_every_job_once_newest_first_while_more_are_posted(store: Store, post_job: PostJob):
    old = [post_job().id for _ in range(7)]

    seen: list[str] = []
    cursor = None
    while True:
        with store.reading() as reader:
            page = list_jobs(reader, cursor=cursor, limit=3)
        seen += [job.id for job in page.items]
        cursor = page.next_cursor
        post_job()
        if cursor is None:
            break

    assert seen == old[::-1]


def test_a_last_page_that_is_full_has_no_next(store: Store, post_job: PostJob):
    for _ in range(2):
        post_job()

    with store.reading() as reader:
        assert list_jobs(reader, limit=2).next_cursor is None


def test_the_filters_narrow_together(store: Store, post_job: PostJob, claim: Callable[[Job], Claim]):
    both = post_job(name="one", labels={"team": "vision", "stage": "dev"})
    team = post_job(name="two", labels={"team": "vision"})
    swapped = post_job(labels={"vision": "team"})
    done = claim(team)
    with store.writing() as writer:
        end_baseline(writer, done, "critical")

    def ids(**filters: object) -> list[str]:
        with store.reading() as reader:
            return [job.id for job in list_jobs(reader, **filters).items]  # type: ignore[arg-type]  # filters by name

    assert ids() == [swapped.id, team.id, both.id]
    assert ids(labels={"team": "vision"}) == [team.id, both.id]
    assert ids(labels={"team": "vision", "stage": "dev"}) == [both.id]
    assert ids(labels={"team": "dev"}) == []
    assert ids(name="two") == [team.id]
    assert ids(status="queued") == [swapped.id, both.id]
    assert ids(health="critical") == [team.id]
    assert ids(health="critical", status="queued") == []


def test_a_page_takes_two_queries_however_long_it_is(store: Store, post_job: PostJob):
    for number in range(5):
        post_job(labels={"number": str(number)})
    statements: list[str] = []

    with store.reading() as reader:
        event.listen(reader.connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        page = list_jobs(reader)

    assert [job.labels["number"] for job in page.items] == ["4", "3", "2", "1", "0"]
    assert len(statements) == 2


def test_a_cursor_that_is_none_of_ours_is_refused_at_its_place(store: Store, post_job: PostJob):
    good = encode_cursor(post_job().created_at, "no id")

    for cursor in ("", "x", "%", "é", "bnVsbA", "W10", "WzEsMl0", good, "A" * 10_000):
        with store.reading() as reader, pytest.raises(InvalidSpec) as refused:
            list_jobs(reader, cursor=cursor)
        assert [fault.pointer for fault in refused.value.faults] == ["/cursor"]


def test_a_filter_that_no_database_can_look_for_is_refused(store: Store):
    with store.reading() as reader:
        for filters in ({"name": "a\0"}, {"name": "\ud800"}, {"labels": {"\0": "x"}}, {"labels": {"x": "\0"}}):
            with pytest.raises(InvalidSpec):
                list_jobs(reader, **filters)


def test_cancelling_moves_a_queued_job_asks_a_held_one_and_leaves_an_ended_one(
    store: Store, post_job: PostJob, claim: Callable[[Job], Claim]
):
    queued, held, ended = post_job(), post_job(), post_job()
    claim(held)
    done = claim(ended)
    with store.writing() as writer:
        end_baseline(writer, done)

    with store.writing() as writer:
        first = request_cancel(writer, queued.id)
        second = request_cancel(writer, held.id)
        third = request_cancel(writer, ended.id)
        assert request_cancel(writer, queued.id) == first
        assert request_cancel(writer, held.id) == second
        assert baseline_of(writer, queued.id).status == "cancelled"

    assert (first.status, first.cancel_requested, first.version) == ("cancelled", True, 2)
    assert first.finished_at is not None
    assert (second.status, second.cancel_requested, second.version) == ("training", True, 3)
    assert (third.status, third.cancel_requested) == ("succeeded", False)
    with store.writing() as writer, pytest.raises(NotFound):
        request_cancel(writer, "nothing")


def test_deleting_an_ended_job_frees_everything_and_a_live_one_is_refused(
    store: Store, post_job: PostJob, claim: Callable[[Job], Claim], part_of: Callable[..., History]
):
    job, other = post_job(labels={"a": "b"}), post_job(labels={"a": "b"})
    with store.writing() as writer, pytest.raises(JobIsLive, match="queued"):
        delete_job(writer, job.id)
    held = claim(job)
    with store.writing() as writer:
        add_chunk(writer, held, part_of(0, 5))
        save_facts(writer, held, RunFacts())
    with store.writing() as writer, pytest.raises(JobIsLive, match="training"):
        delete_job(writer, job.id)
    with store.writing() as writer:
        end_baseline(writer, held)

    with store.writing() as writer:
        delete_job(writer, job.id)

    with store.reading() as reader:
        rows = {
            table.name: reader.connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
        assert find_job(reader, other.id) == other
    assert {table: count for table, count in rows.items() if count} == {"jobs": 1, "labels": 1, "runs": 1}
    with store.writing() as writer, pytest.raises(NotFound):
        delete_job(writer, job.id)
