from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import update

from gradclinic.contract.job import Job
from gradclinic.errors import InvalidHistory, InvalidSpec, NotFound
from gradclinic.history import History, LayerFacts, RunFacts, SignalTable, Trivial, concatenate
from store.histories import add_chunk, read_history, save_facts
from store.jobs import find_job
from store.queue import Claim
from store.runs import find_run
from store.tables import history_chunks
from store.transactions import Store

PartOf = Callable[..., History]


@pytest.fixture
def held(post_job: Callable[..., Job], claim: Callable[..., Claim]) -> Claim:
    return claim(post_job())


def assert_same(one: History, other: History) -> None:
    """Compare bit for bit, so that NaN equals NaN and 0.0 does not equal -0.0."""
    assert set(one.tables) == set(other.tables)
    for name, table in one.tables.items():
        assert table.subjects == other[name].subjects
        np.testing.assert_array_equal(table.steps, other[name].steps)
        assert table.values.tobytes() == other[name].values.tobytes()


def test_what_is_read_is_what_was_written_bit_for_bit(store: Store, held: Claim, part_of: PartOf):
    parts = [part_of(0, 100, every=30), part_of(100, 200, every=30), part_of(200, 217, every=30)]
    for part in parts:
        with store.writing() as writer:
            add_chunk(writer, held, part)

    with store.reading() as reader:
        history = read_history(reader, held.run_id)
        assert_same(history, concatenate(parts))
        assert find_run(reader, held.run_id).steps_done == 217
        assert find_job(reader, held.job_id).progress.step == 217
    assert np.isnan(history["grad_norm"].values).any()
    assert np.isinf(history["grad_norm"].values).any()
    assert list(history["val_loss"].steps) == [0, 30, 60, 90, 120, 150, 180, 210]


@pytest.mark.parametrize(
    "asked",
    [
        {"signals": ["loss"]},
        {"signals": ["loss", "grad_norm"], "subjects": ["layers.0.bias"]},
        {"subjects": [""]},
        {"start": 99, "stop": 101},
        {"start": 30, "stop": 31, "signals": ["val_loss"]},
        {"start": 100, "stop": 100},
        {"stop": 0},
        {"start": 10**30},
        {"stop": 10**30},
        {"start": -(10**9)},
        {"signals": []},
        {"signals": ["nothing"]},
    ],
)
def test_a_part_is_the_same_part_of_the_whole(store: Store, held: Claim, part_of: PartOf, asked: dict[str, object]):
    parts = [part_of(0, 100, every=30), part_of(100, 150, every=30)]
    with store.writing() as writer:
        for part in parts:
            add_chunk(writer, held, part)

    with store.reading() as reader:
        found = read_history(reader, held.run_id, **asked)  # type: ignore[arg-type]  # one of many ways to ask

    far = {key: min(value, 10**6) if isinstance(value, int) else value for key, value in asked.items()}
    expected = concatenate(parts).select(**far)  # type: ignore[arg-type]  # the same question
    assert_same(without_empty(found), without_empty(expected))


def without_empty(history: History) -> History:
    return History({name: table for name, table in history.tables.items() if len(table.steps)}, history.facts)


def test_only_the_chunks_asked_for_are_unpacked(store: Store, held: Claim, part_of: PartOf):
    with store.writing() as writer:
        for start in range(0, 500, 100):
            add_chunk(writer, held, part_of(start, start + 100))
        chunks = history_chunks.c
        wanted = (chunks.signal == "loss") & chunks.first_step.in_([100, 200])
        writer.connection.execute(update(history_chunks).where(~wanted).values(payload=b"cannot be unpacked"))

    with store.reading() as reader:
        history = read_history(reader, held.run_id, signals=["loss"], start=150, stop=260)
        with pytest.raises(InvalidHistory):
            read_history(reader, held.run_id, signals=["loss"], start=99, stop=260)

    assert list(history["loss"].steps) == list(range(150, 260))


def test_facts_come_back_as_they_were_saved(store: Store, held: Claim):
    facts = RunFacts(
        layers=[LayerFacts(name="layers.0", type="Linear", parameters=["layers.0.weight"], weight_shape=[3, 4])],
        optimizer="SGD",
        steps_planned=120,
        trivial=Trivial(train_loss=1.0986122886681098, metric=float("nan")),
    )

    with store.writing() as writer:
        save_facts(writer, held, facts)

    with store.reading() as reader:
        found = read_history(reader, held.run_id).facts
    assert found == facts.model_copy(update={"trivial": Trivial(train_loss=1.0986122886681098, metric=None)})


def test_an_empty_part_changes_nothing(store: Store, held: Claim):
    nothing = SignalTable(np.array([], np.int64), ("",), np.zeros((0, 1)))

    with store.writing() as writer:
        add_chunk(writer, held, History({"loss": nothing}))

    with store.reading() as reader:
        assert read_history(reader, held.run_id).tables == {}
        assert find_job(reader, held.job_id).version == 2


def test_what_does_not_exist_is_not_found_and_what_cannot_is_refused(store: Store, held: Claim):
    with store.reading() as reader:
        with pytest.raises(NotFound):
            read_history(reader, "nothing")
        with pytest.raises(InvalidSpec):
            read_history(reader, held.run_id, signals=["\0"])
