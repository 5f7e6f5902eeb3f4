"""Runs from outside: chunk by chunk, in order, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from gradclinic.contract.diagnosis import Diagnosis, Outcome
from gradclinic.contract.external import MAX_COLUMNS, NewRun
from gradclinic.contract.job import Job, Run
from gradclinic.errors import (
    ChunkOutOfOrder,
    DiagnosisNotReady,
    InvalidSpec,
    NoDiagnosis,
    NotFound,
    RunBelongsToJob,
    RunEnded,
    RunsFull,
)
from gradclinic.history import History, RunFacts, SignalTable, concatenate
from store.diagnoses import find_diagnosis
from store.external import (
    Room,
    add_external_chunk,
    add_external_run,
    delete_external_run,
    end_external_run,
    refuse_another_run,
)
from store.histories import read_history
from store.judging import thresholds_of
from store.runs import baseline_of, find_run, list_runs
from store.tables import external_chunks, history_chunks
from store.transactions import Store

PartOf = Callable[..., History]
AMPLE = Room(10**9, 10**9)
HEALTHY = Diagnosis(health="healthy", outcome=None, findings=[])


def begin(store: Store, **said: Any) -> Run:
    with store.writing() as writer:
        return add_external_run(writer, NewRun(**said), RunFacts(optimizer="SGD"))


def send(store: Store, run: Run, number: int, part: History, **changed: Any) -> Run:
    with store.writing() as writer:
        said = {"number": number, "sha256": f"{number}", "part": part, "facts": None, "room": AMPLE} | changed
        return add_external_chunk(writer, run.id, **said)


def end(store: Store, run: Run, chunks: int, **changed: Any) -> bool:
    said = {"status": "succeeded", "chunks": chunks, "facts": RunFacts(), "diagnosis": HEALTHY} | changed
    with store.writing() as writer:
        return end_external_run(writer, run.id, **said)


def _delete(store: Store, run_id: str) -> None:
    with store.writing() as writer:
        delete_external_run(writer, run_id)


def one_signal(*steps: int, subjects: tuple[str, ...] = ("a", "b"), signal: str = "own") -> History:
    values = np.array(steps, float)[:, None] + np.arange(len(subjects))
    return History({signal: SignalTable(np.array(steps, np.int64), subjects, values)})


def test_what_is_read_is_what_was_sent_bit_for_bit(store: Store, part_of: PartOf):
    run = begin(store, name="nightly", labels={"team": "vision"})
    assert (run.kind, run.status, run.seed, run.chunks, run.job_id) == ("external", "training", None, 0, None)
    parts = [part_of(0, 100, every=30), part_of(100, 128, every=30), part_of(128, 217, every=30)]
    for number, part in enumerate(parts):
        assert send(store, run, number, part).chunks == number + 1
    with store.reading() as reader:
        history, run = read_history(reader, run.id), find_run(reader, run.id)
    expected = concatenate(parts)
    for signal, table in expected.tables.items():
        assert history[signal].values.tobytes() == table.values.tobytes()
        assert history[signal].steps.tolist() == table.steps.tolist()
    assert (run.steps_done, run.chunks, run.name, run.labels) == (217, 3, "nightly", {"team": "vision"})
    assert history.facts.optimizer == "SGD"


def test_a_chunk_that_comes_again_changes_nothing(store: Store, part_of: PartOf):
    run = begin(store)
    send(store, run, 0, part_of(0, 10))
    assert send(store, run, 0, part_of(0, 10)).chunks == 1
    with pytest.raises(ChunkOutOfOrder, match="other content") as raised:
        send(store, run, 0, part_of(0, 10), sha256="other")
    assert raised.value.faults[0].expected == "1"
    end(store, run, 1)
    assert send(store, run, 0, part_of(0, 10)).status == "succeeded"


def test_a_gap_names_the_number_expected(store: Store, part_of: PartOf):
    run = begin(store)
    send(store, run, 0, part_of(0, 10))
    with pytest.raises(ChunkOutOfOrder) as raised:
        send(store, run, 3, part_of(10, 20))
    assert [(fault.pointer, fault.expected) for fault in raised.value.faults] == [("/query/chunk", "1")]


def test_a_run_that_has_ended_takes_no_more(store: Store, part_of: PartOf):
    run = begin(store)
    assert end(store, run, 0, status="failed", diagnosis=None)
    with pytest.raises(RunEnded, match="failed"):
        send(store, run, 0, part_of(0, 10))


def test_values_that_come_late_follow_their_own_signal(store: Store):
    """An evaluation at step 127 is recorded after the chunk that ends with that step was sent."""
    run = begin(store)
    send(store, run, 0, one_signal(*range(128)))
    late = one_signal(127, signal="val_loss", subjects=("",))
    send(store, run, 1, History(late.tables | one_signal(128, 129).tables))
    with store.reading() as reader:
        assert read_history(reader, run.id)["val_loss"].steps.tolist() == [127]
        assert find_run(reader, run.id).steps_done == 130


@pytest.mark.parametrize(
    ("part", "pointer", "words"),
    [
        (one_signal(9, 10), "/steps", "up to step 9"),
        (one_signal(10, subjects=("a",)), "/columns/a~1own", "missing, such as 'b'"),
        (one_signal(10, subjects=("a", "c")), "/columns/a~1own", "new, such as 'c'"),
    ],
)
def test_a_part_that_does_not_follow_is_told_at_its_place(store: Store, part: History, pointer: str, words: str):
    run = begin(store)
    send(store, run, 0, one_signal(*range(10)))
    with pytest.raises(InvalidSpec, match=words) as raised:
        send(store, run, 1, part)
    assert [fault.pointer for fault in raised.value.faults] == [pointer]
    with store.reading() as reader:
        assert find_run(reader, run.id).chunks == 1


def test_subjects_in_another_order_are_put_in_order(store: Store):
    run = begin(store)
    send(store, run, 0, one_signal(0, 1))
    send(store, run, 1, one_signal(2, 3, subjects=("b", "a")))
    with store.reading() as reader:
        table = read_history(reader, run.id)["own"]
    assert table.subjects == ("a", "b")
    assert table.values.tolist() == [[0, 1], [1, 2], [3, 2], [4, 3]]


def test_a_run_has_a_limit_of_numbers_and_of_signals(store: Store):
    run = begin(store)
    send(store, run, 0, one_signal(*range(100)), room=Room(399, 10**9))
    with pytest.raises(InvalidSpec, match=r"holds 200 numbers.* add 200") as raised:
        send(store, run, 1, one_signal(*range(100, 200)), room=Room(399, 10**9))
    assert "399" in str(raised.value.faults[0].expected)
    many = {f"s{n}": one_signal(5)["own"] for n in range(200)}
    with pytest.raises(InvalidSpec, match="201 signals"):
        send(store, run, 1, History(many))


def test_a_run_has_a_limit_of_columns_whatever_its_chunks_have(store: Store):
    run = begin(store)
    wide = tuple(f"layers.{number}" for number in range(MAX_COLUMNS - 1))
    send(store, run, 0, one_signal(0, subjects=wide))
    send(store, run, 1, one_signal(1, subjects=("",), signal="loss"))
    with pytest.raises(InvalidSpec, match="100,001 columns"):
        send(store, run, 2, one_signal(2, subjects=("",), signal="lr"))
    assert send(store, run, 2, one_signal(2, subjects=("",), signal="loss")).chunks == 3


def test_all_runs_have_a_limit_together(store: Store):
    run, other = begin(store), begin(store)
    room = Room(10**9, 350)
    send(store, run, 0, one_signal(*range(100)), room=room)
    send(store, other, 0, one_signal(0), room=room)  # however little is in it, it takes room
    with pytest.raises(RunsFull, match=r"hold 300 numbers.* add 100.* 350 may be held"):
        send(store, other, 1, History({}), room=room)
    assert send(store, other, 0, one_signal(0), room=Room(1, 1)).chunks == 1, "what is there already takes none"
    _delete(store, run.id)
    send(store, other, 1, one_signal(1), room=room)


def test_as_many_runs_are_kept_as_may_be(store: Store, post_job: Callable[..., Job]):
    post_job()
    run = begin(store)
    with store.reading() as reader:
        refuse_another_run(reader, 2)
        with pytest.raises(RunsFull, match="1 external runs are kept, and 1 may be"):
            refuse_another_run(reader, 1)
    _delete(store, run.id)
    with store.reading() as reader:
        refuse_another_run(reader, 1)


def test_a_far_step_costs_no_more_than_a_near_one(store: Store):
    run = begin(store)
    send(store, run, 0, one_signal(0))
    send(store, run, 1, one_signal(2**31 - 2))
    send(store, run, 2, one_signal(5, 10**9, signal="late"))
    with store.reading() as reader:
        assert find_run(reader, run.id).steps_done == 2**31 - 1


def test_facts_replace_those_from_before(store: Store):
    run = begin(store)
    send(store, run, 0, one_signal(0), facts=RunFacts(loss="MSELoss"))
    send(store, run, 1, one_signal(1))
    with store.reading() as reader:
        facts = read_history(reader, run.id).facts
    assert (facts.optimizer, facts.loss) == (None, "MSELoss")


def test_an_end_keeps_the_diagnosis_and_the_outcome(store: Store):
    run = begin(store, diagnosis={"thresholds": {"vanishing_gain": 0.5}})
    send(store, run, 0, one_signal(0))
    with store.reading() as reader:
        assert thresholds_of(reader, run.id) == {"vanishing_gain": 0.5}
        with pytest.raises(DiagnosisNotReady):
            find_diagnosis(reader, run.id)
    assert not end(store, run, 0), "a chunk came in since it was judged"
    outcome = Outcome(train_loss=0.5, val_loss=None, metric=None, steps=1)
    assert end(store, run, 1, facts=RunFacts(outcome=outcome))
    assert not end(store, run, 1)
    with store.reading() as reader:
        run = find_run(reader, run.id)
        assert find_diagnosis(reader, run.id) == HEALTHY
    assert (run.status, run.health, run.outcome) == ("succeeded", "healthy", outcome)
    assert run.finished_at is not None


def test_a_run_without_a_diagnosis_says_so(store: Store):
    run = begin(store)
    end(store, run, 0, diagnosis=None)
    with store.reading() as reader, pytest.raises(NoDiagnosis, match="nothing of it was recorded"):
        find_diagnosis(reader, run.id)


def test_deleting_takes_all_of_it_and_nothing_else(store: Store, part_of: PartOf):
    kept, gone = begin(store), begin(store)
    for run in (kept, gone):
        send(store, run, 0, part_of(0, 10))
    end(store, gone, 1)
    _delete(store, gone.id)
    with store.reading() as reader:
        for table in (history_chunks, external_chunks):
            runs_left = reader.connection.execute(select(table.c.run_id).distinct()).scalars().all()
            assert list(runs_left) == [kept.id]
        with pytest.raises(NotFound):
            find_run(reader, gone.id)
    with pytest.raises(NotFound):
        send(store, gone, 1, part_of(10, 20))


def test_a_run_of_a_job_is_left_alone(store: Store, post_job: Callable[..., Job], part_of: PartOf):
    job = post_job()
    with store.reading() as reader:
        run = baseline_of(reader, job.id)
    for act in (
        lambda: send(store, run, 0, part_of(0, 10)),
        lambda: end(store, run, 0),
        lambda: _delete(store, run.id),
    ):
        with pytest.raises(RunBelongsToJob, match=job.id):
            act()
    with store.reading() as reader:
        assert reader.connection.execute(select(func.count()).select_from(external_chunks)).scalar_one() == 0
        assert (baseline_of(reader, job.id).chunks, baseline_of(reader, job.id).status) == (None, "queued")


@pytest.mark.parametrize("run_id", ["019aa000-0000-7000-8000-000000000000", "", "x", "\0"])
def test_what_is_not_there_is_not_found(store: Store, run_id: str):
    with pytest.raises(NotFound):
        _delete(store, run_id)


def test_runs_are_listed_and_filtered(store: Store, post_job: Callable[..., Job]):
    job = post_job(name="a job", labels={"team": "vision"})
    first = begin(store, name="nightly", labels={"team": "vision", "quote": 'a":"b'})
    second = begin(store, name="Nightly", labels={"team": "Vision"})
    end(store, second, 0)

    def found(**asked: Any) -> list[str]:
        with store.reading() as reader:
            return [run.id for run in list_runs(reader, **asked).items]

    with store.reading() as reader:
        baseline = baseline_of(reader, job.id)
    assert (baseline.name, baseline.labels) == ("a job", {"team": "vision"})
    assert found() == [second.id, first.id, baseline.id]
    assert found(kind="external") == [second.id, first.id]
    assert found(kind="baseline", status="queued") == [baseline.id]
    assert found(status="succeeded") == [second.id]
    assert found(name="nightly") == [first.id]
    assert found(name="a job") == [baseline.id]
    assert found(labels={"team": "vision"}) == [first.id, baseline.id]
    assert found(labels={"team": "vision", "quote": 'a":"b'}) == [first.id]
    assert found(labels={"a": "b"}) == []
    assert found(labels={"team": "%"}) == []
    with pytest.raises(InvalidSpec):
        found(labels={"a": "\0"})


def test_pages_of_runs_neither_repeat_nor_leave_out(store: Store):
    made = [begin(store).id for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        with store.reading() as reader:
            page = list_runs(reader, cursor=cursor, limit=3)
        seen += [run.id for run in page.items]
        begin(store)
        if (cursor := page.next_cursor) is None:
            break
    assert seen == made[::-1]
