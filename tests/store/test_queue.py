import threading
import time
from collections.abc import Callable

import pytest

from gradclinic.contract.job import Job
from gradclinic.errors import LeaseLost
from gradclinic.history import History, RunFacts
from store.claim import Claim
from store.diagnoses import find_diagnosis, save_diagnosis
from store.endings import end_cancelled, fail_run, finish_run
from store.histories import add_chunk, read_history, save_facts
from store.jobs import find_job, request_cancel
from store.queue import (
    announce_due,
    claim_next,
    claim_run,
    is_work_due,
    record_progress,
    release_run,
    renew_lease,
    sweep_expired,
)
from store.runs import baseline_of
from store.transactions import Store, Writer
from tests.attempts import ERROR, diagnosis_of, end_baseline

PostJob = Callable[..., Job]
MakeClaim = Callable[..., Claim]
DIAGNOSIS = diagnosis_of("warning")

EVERY_WRITE: dict[str, Callable[[Writer, Claim, History], object]] = {
    "renew_lease": lambda writer, claim, _part: renew_lease(writer, claim, 60),
    "record_progress": lambda writer, claim, _part: record_progress(writer, claim, 3),
    "add_chunk": add_chunk,
    "add_chunk of nothing": lambda writer, claim, _part: add_chunk(writer, claim, History()),
    "save_facts": lambda writer, claim, _part: save_facts(writer, claim, RunFacts()),
    "save_diagnosis": lambda writer, claim, _part: save_diagnosis(writer, claim, DIAGNOSIS),
    "finish_run": lambda writer, claim, _part: finish_run(writer, claim, facts=RunFacts(), diagnosis=DIAGNOSIS),
    "fail_run": lambda writer, claim, _part: fail_run(writer, claim, ERROR),
    "end_cancelled": lambda writer, claim, _part: end_cancelled(writer, claim),
    "release_run": lambda writer, claim, _part: release_run(writer, claim),
}
every_write = pytest.mark.parametrize("write", EVERY_WRITE.values(), ids=EVERY_WRITE.keys())


def sweep(store: Store, max_attempts: int = 3) -> list[str]:
    with store.writing() as writer:
        return [run.job_id for run in sweep_expired(writer, max_attempts=max_attempts)]


def baseline_id(store: Store, job: Job) -> str:
    with store.reading() as reader:
        return baseline_of(reader, job.id).id


def look(store: Store, job: Job) -> Job:
    with store.reading() as reader:
        return find_job(reader, job.id)


def test_of_many_claims_at_once_one_wins(store: Store, post_job: PostJob):
    job = post_job()
    barrier = threading.Barrier(8)
    claims: list[Claim | None] = []

    def take() -> None:
        barrier.wait()
        with store.writing() as writer:
            claims.append(claim_next(writer, worker="w", lease_seconds=60))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won = [claim for claim in claims if claim is not None]
    assert len(claims) == 8
    assert len(won) == 1
    assert (won[0].job_id, won[0].attempt, won[0].document) == (job.id, 1, job.spec)
    found = look(store, job)
    assert (found.status, found.attempt, found.version) == ("training", 1, 2)
    assert found.started_at is not None
    assert found.started_at >= found.created_at


def test_a_message_about_no_job_or_one_that_ended_claims_nothing(store: Store, post_job: PostJob):
    job = post_job()
    with store.writing() as writer:
        request_cancel(writer, job.id)

    with store.writing() as writer:
        assert claim_next(writer, worker="w", lease_seconds=60) is None
        for run_id in (baseline_of(writer, job.id).id, job.id, "nothing", "", "\0"):
            assert claim_run(writer, run_id, worker="w", lease_seconds=60) is None


def test_the_oldest_baseline_is_taken_up_first(store: Store, post_job: PostJob):
    first, second = post_job(), post_job()

    with store.writing() as writer:
        taken = [claim_next(writer, worker="w", lease_seconds=60) for _ in range(3)]

    assert [claim and claim.job_id for claim in taken] == [first.id, second.id, None]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_many_workers_at_once_take_up_as_many_runs(store: Store, post_job: PostJob):
    jobs = {post_job().id for _ in range(8)}
    barrier = threading.Barrier(8)
    taken: list[Claim | None] = []

    def take() -> None:
        barrier.wait()
        with store.writing() as writer:
            taken.append(claim_next(writer, worker="w", lease_seconds=60))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {claim.job_id for claim in taken if claim is not None} == jobs


def test_an_announced_job_is_due_again_only_after_a_while(store: Store, post_job: PostJob):
    jobs = post_job(), post_job(), post_job()
    first, second, third = (baseline_id(store, job) for job in jobs)

    with store.writing() as writer:
        assert announce_due(writer, limit=2, again_after=60) == [first, second]
        assert announce_due(writer, limit=2, again_after=60) == [third]
        assert announce_due(writer, limit=2, again_after=60) == []
        assert not is_work_due(writer, again_after=60)
    time.sleep(0.01)
    with store.writing() as writer:
        assert is_work_due(writer, again_after=0.001)
        assert announce_due(writer, limit=5, again_after=0.001) == [first, second, third]
    assert look(store, jobs[0]) == jobs[0]  # announcing is nothing that a client sees


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_dispatchers_at_once_announce_each_job_once(store: Store, post_job: PostJob):
    runs = [baseline_id(store, post_job()) for _ in range(4)]

    with store.writing() as one, store.writing() as other:
        announced = announce_due(one, limit=3, again_after=60) + announce_due(other, limit=3, again_after=60)

    assert announced == runs


def test_a_heartbeat_keeps_the_job_and_tells_of_a_cancel(store: Store, post_job: PostJob, claim: MakeClaim):
    held = claim(post_job(), 0.05)

    with store.writing() as writer:
        assert renew_lease(writer, held, 60) is False
    time.sleep(0.06)
    assert sweep(store) == []
    with store.writing() as writer:
        request_cancel(writer, held.job_id)
        assert renew_lease(writer, held, 60) is True


def test_an_expired_lease_puts_the_job_back_to_the_front(store: Store, post_job: PostJob, claim: MakeClaim):
    job = post_job()
    held = claim(job, -1)
    with store.writing() as writer:
        record_progress(writer, held, 77)
        assert is_work_due(writer, again_after=60)

    assert sweep(store) == [job.id]
    assert sweep(store) == []

    found = look(store, job)
    assert (found.status, found.attempt, found.progress.step, found.started_at) == ("queued", 1, 0, None)
    with store.writing() as writer:
        assert baseline_of(writer, job.id).status == "queued"
        assert announce_due(writer, limit=1, again_after=60) == [baseline_of(writer, job.id).id]


@every_write
def test_whoever_lost_the_lease_writes_nothing(
    store: Store,
    post_job: PostJob,
    claim: MakeClaim,
    part_of: Callable[..., History],
    write: Callable[[Writer, Claim, History], object],
):
    job = post_job()
    first = claim(job, -1)
    sweep(store)

    def refused() -> None:
        before = look(store, job)
        with pytest.raises(LeaseLost), store.writing() as writer:
            write(writer, first, part_of(0, 5))
        with store.reading() as reader:
            assert read_history(reader, first.run_id).tables == {}
        assert look(store, job) == before

    refused()  # nobody holds it
    second = claim(job)
    assert (second.attempt, second.run_id) == (2, first.run_id)
    refused()  # another attempt holds it
    with store.writing() as writer:
        end_baseline(writer, second)
    refused()  # it has ended
    with pytest.raises(LeaseLost), store.writing() as writer:
        write(writer, second, part_of(0, 5))


@every_write
def test_who_holds_the_lease_may_write(
    store: Store,
    post_job: PostJob,
    claim: MakeClaim,
    part_of: Callable[..., History],
    write: Callable[[Writer, Claim, History], object],
):
    held = claim(post_job(), -1)  # expired, but no sweep has come: nobody else can have it yet

    with store.writing() as writer:
        write(writer, held, part_of(0, 5))


def test_the_next_attempt_starts_from_nothing(
    store: Store, post_job: PostJob, claim: MakeClaim, part_of: Callable[..., History]
):
    job = post_job()
    first = claim(job, -1)
    with store.writing() as writer:
        add_chunk(writer, first, part_of(0, 5))
        add_chunk(writer, first, part_of(5, 9))
        save_facts(writer, first, RunFacts(optimizer="SGD"))
        save_diagnosis(writer, first, DIAGNOSIS)
    sweep(store)

    second = claim(job)

    with store.writing() as writer:
        run = baseline_of(writer, job.id)
        history = read_history(writer, run.id)
        assert (run.status, run.steps_done, run.outcome, run.health) == ("training", 0, None, None)
        assert (history.tables, history.facts) == ({}, RunFacts())
        assert find_job(writer, job.id).health is None
        add_chunk(writer, second, part_of(0, 5))
        assert baseline_of(writer, job.id).steps_done == 5


def test_a_job_that_keeps_losing_workers_fails_with_words(store: Store, post_job: PostJob, claim: MakeClaim):
    job = post_job()
    for _ in range(2):
        claim(job, -1)
        sweep(store, max_attempts=2)

    found = look(store, job)
    assert (found.status, found.attempt) == ("failed", 2)
    assert found.finished_at is not None
    assert found.error is not None
    assert found.error.type == "worker_lost"
    assert "2 times" in found.error.detail
    assert "memory" in found.error.detail
    with store.reading() as reader:
        assert baseline_of(reader, job.id).status == "failed"


def test_a_cancelled_job_whose_worker_is_lost_ends_cancelled(store: Store, post_job: PostJob, claim: MakeClaim):
    job = post_job()
    claim(job, -1)
    with store.writing() as writer:
        request_cancel(writer, job.id)

    assert sweep(store) == [job.id]

    assert look(store, job).status == "cancelled"
    with store.reading() as reader:
        assert baseline_of(reader, job.id).status == "cancelled"


def test_each_ending_ends_the_run_too(store: Store, post_job: PostJob, claim: MakeClaim):
    finished, failed, cancelled = (claim(post_job()) for _ in range(3))

    with store.writing() as writer:
        end_baseline(writer, finished, "critical")
        fail_run(writer, failed, ERROR)
        end_cancelled(writer, cancelled)

    with store.reading() as reader:
        for held, status, health, reason in (
            (finished, "succeeded", "critical", None),
            (failed, "failed", None, ERROR),
            (cancelled, "cancelled", None, None),
        ):
            job, run = find_job(reader, held.job_id), baseline_of(reader, held.job_id)
            assert (job.status, job.health, job.error) == (status, health, reason)
            assert (run.status, run.health, run.error) == (status, health, reason)
            assert job.finished_at is not None
            assert run.finished_at is not None
            assert job.finished_at >= run.finished_at


def test_every_visible_change_counts_the_version_up(
    store: Store, post_job: PostJob, claim: MakeClaim, part_of: Callable[..., History]
):
    job = post_job()
    versions = [job.version]
    held = claim(job)

    def after(write: Callable[[Writer], object]) -> int:
        with store.writing() as writer:
            write(writer)
        versions.append(look(store, job).version)
        return versions[-1] - versions[-2]

    assert after(lambda _writer: None) == 1  # the claim
    assert after(lambda writer: record_progress(writer, held, 2)) == 1
    assert after(lambda writer: add_chunk(writer, held, part_of(0, 5))) == 1
    assert after(lambda writer: request_cancel(writer, job.id)) == 1
    assert after(lambda writer: request_cancel(writer, job.id)) == 0
    assert after(lambda writer: renew_lease(writer, held, 60)) == 0
    assert after(lambda writer: end_baseline(writer, held)) > 0
    assert look(store, job).progress.step == 5
    with store.reading() as reader:
        assert find_diagnosis(reader, held.run_id).health == "healthy"
