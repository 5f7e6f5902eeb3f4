import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from gradclinic.contract.job import Job
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import Conflict, KeyReused
from store.idempotency import StoredAnswer, forget_old_answers, keep_answer, recall_answer
from store.jobs import add_job, list_jobs
from store.tables import idempotency_keys
from store.transactions import Store

ANSWER = StoredAnswer(202, '{"id": "☃"}', {"Location": "/v1/jobs/1"})


def test_the_same_request_gets_the_first_answer_and_another_is_refused(store: Store):
    with store.writing() as writer:
        assert recall_answer(writer, "key", "one") is None
        keep_answer(writer, "key", "one", ANSWER)

    with store.reading() as reader:
        assert recall_answer(reader, "key", "one") == ANSWER
        assert recall_answer(reader, "another", "one") is None
        with pytest.raises(KeyReused):
            recall_answer(reader, "key", "two")


def test_of_requests_at_once_with_one_key_one_acts(store: Store, post_job: Callable[..., Job]):
    document = post_job().spec
    spec = parse_spec(document)
    barrier = threading.Barrier(5)
    answers: list[str] = []

    def post() -> None:
        barrier.wait()
        with store.writing() as writer:
            answer = recall_answer(writer, "key", "print")
            if answer is None:
                answer = StoredAnswer(202, add_job(writer, document=document, spec=spec, steps=1).id)
                keep_answer(writer, "key", "print", answer)
        answers.append(answer.body)

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 5
    assert len(set(answers)) == 1
    with store.reading() as reader:
        assert len(list_jobs(reader).items) == 2


def test_a_key_that_was_just_answered_is_a_conflict(store: Store):
    with store.writing() as writer:
        keep_answer(writer, "key", "one", ANSWER)

    with pytest.raises(Conflict), store.writing() as writer:
        keep_answer(writer, "key", "one", ANSWER)


def test_an_answer_is_forgotten_after_a_day(store: Store):
    with store.writing() as writer:
        keep_answer(writer, "old", "one", ANSWER)
        keep_answer(writer, "older", "one", ANSWER)
        long_ago = writer.now() - timedelta(hours=24, seconds=1)
        writer.connection.execute(update(idempotency_keys).values(created_at=long_ago))
        keep_answer(writer, "new", "one", ANSWER)

    with store.writing() as writer:
        assert recall_answer(writer, "old", "another") is None
        keep_answer(writer, "old", "another", ANSWER)  # the key is free again, swept or not
        forget_old_answers(writer)
        assert recall_answer(writer, "new", "one") == ANSWER
        assert writer.connection.execute(select(func.count()).select_from(idempotency_keys)).scalar_one() == 2
