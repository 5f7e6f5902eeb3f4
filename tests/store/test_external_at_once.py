"""Runs from outside, written to by several at once: each chunk is there once, and nobody gets an error of a database's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
from sqlalchemy import func, select

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.external import NewRun
from gradclinic.errors import ChunkOutOfOrder, NotFound, RunEnded
from gradclinic.history import WHOLE_STEP, History, RunFacts, SignalTable
from store.external import Room, add_external_chunk, add_external_run, delete_external_run, end_external_run
from store.histories import read_history
from store.runs import find_run
from store.tables import history_chunks
from store.transactions import Store

SENDERS = 6
HEALTHY = Diagnosis(health="healthy", outcome=None, findings=[])


def begin(store: Store) -> str:
    with store.writing() as writer:
        return add_external_run(writer, NewRun(), RunFacts()).id


def send(store: Store, run_id: str, number: int, sha256: str = "same") -> str:
    steps = np.arange(10 * number, 10 * number + 10)
    part = History({"loss": SignalTable(steps, (WHOLE_STEP,), np.ones((10, 1)))})
    try:
        with store.writing() as writer:
            add_external_chunk(
                writer, run_id, number=number, sha256=sha256, part=part, facts=None, room=Room(10**9, 10**9)
            )
    except (ChunkOutOfOrder, RunEnded, NotFound) as error:
        return error.code
    return "taken"


def end(store: Store, run_id: str, chunks: int) -> bool:
    with store.writing() as writer:
        return end_external_run(writer, run_id, status="succeeded", chunks=chunks, facts=RunFacts(), diagnosis=HEALTHY)


def chunks_in(store: Store, run_id: str) -> int:
    with store.reading() as reader:
        query = select(func.count()).select_from(history_chunks).where(history_chunks.c.run_id == run_id)
        found: int = reader.connection.execute(query).scalar_one()
        return found


def test_the_same_chunk_from_many_senders_is_taken_once_and_acknowledged_to_all(store: Store):
    run_id, together = begin(store), Barrier(SENDERS)

    def send_all(_: int) -> list[str]:
        answers = []
        for number in range(5):
            together.wait()
            answers.append(send(store, run_id, number))
        return answers

    with ThreadPoolExecutor(SENDERS) as pool:
        answers = list(pool.map(send_all, range(SENDERS)))
    assert answers == [["taken"] * 5] * SENDERS
    assert chunks_in(store, run_id) == 5
    with store.reading() as reader:
        assert read_history(reader, run_id)["loss"].steps.tolist() == list(range(50))
        assert find_run(reader, run_id).chunks == 5


def test_of_different_chunks_with_one_number_one_is_taken(store: Store):
    run_id, together = begin(store), Barrier(SENDERS)

    def send_own(sender: int) -> str:
        together.wait()
        return send(store, run_id, 0, sha256=str(sender))

    with ThreadPoolExecutor(SENDERS) as pool:
        answers = sorted(pool.map(send_own, range(SENDERS)))
    assert answers == ["chunk_out_of_order"] * (SENDERS - 1) + ["taken"]
    assert chunks_in(store, run_id) == 1


def test_an_end_and_a_chunk_at_once_never_lose_the_chunk(store: Store):
    """Either the run ends without it, and it is refused, or it is in, and the run is to be judged anew."""
    for _ in range(10):
        run_id, together = begin(store), Barrier(2)

        def send_one(run_id: str = run_id, together: Barrier = together) -> str:
            together.wait()
            return send(store, run_id, 0)

        def end_it(run_id: str = run_id, together: Barrier = together) -> bool:
            together.wait()
            return end(store, run_id, 0)

        with ThreadPoolExecutor(2) as pool:
            sent, ended = pool.submit(send_one), pool.submit(end_it)
            assert (sent.result(), ended.result()) in {("taken", False), ("run_ended", True)}


def test_a_run_that_is_deleted_meanwhile_is_not_found(store: Store):
    for _ in range(10):
        run_id, together = begin(store), Barrier(2)

        def send_one(run_id: str = run_id, together: Barrier = together) -> str:
            together.wait()
            return send(store, run_id, 0)

        def delete_it(run_id: str = run_id, together: Barrier = together) -> None:
            together.wait()
            with store.writing() as writer:
                delete_external_run(writer, run_id)

        with ThreadPoolExecutor(2) as pool:
            sent, deleted = pool.submit(send_one), pool.submit(delete_it)
            deleted.result()
            assert sent.result() in {"taken", "not_found"}
        assert chunks_in(store, run_id) == 0
