"""Overviews against brute force over the whole history, whatever the chunks, schedules and numbers are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from gradclinic.contract.job import Job
from gradclinic.errors import InvalidHistory, InvalidSpec, NotFound
from gradclinic.history import CHUNK_STEPS, History, SignalTable
from gradclinic.history.codec import as_recorded
from gradclinic.history.overview import STORED_BYTES, Overview, make_grid
from store.claim import Claim
from store.histories import add_chunk, read_history, write_part
from store.ids import new_id
from store.overviews import BLOCK_CELLS, read_overviews, signals_of
from store.queue import release_run
from store.tables import history_chunks, history_overviews, runs
from store.transactions import Store

ONE_BLOCK = BLOCK_CELLS * CHUNK_STEPS
SUBJECTS = ("layers.0.weight", "layers.0.bias", "layers.2[7].weight")
EVERY = {"grad_norm": 1, "grad_max": 3, "update_ratio": 40, "val_loss": 700}


def table_of(steps: npt.NDArray[np.int64], seed: int = 0, subjects: tuple[str, ...] = SUBJECTS) -> SignalTable:
    """Make a table of numbers of every kind."""
    generator = np.random.default_rng([seed, len(steps)])
    values = generator.lognormal(0, 3, (len(steps), len(subjects))).astype(np.float32).astype(np.float64)
    odd = generator.random(values.shape)
    for number, share in (
        (np.nan, 0.001),
        (np.inf, 0.002),
        (-np.inf, 0.003),
        (-1e-300, 0.005),
        (1e300, 0.006),
        (-7, 0.1),
    ):
        values[odd < share] = number
        odd[odd < share] = 1
    return SignalTable(steps, subjects, values)


def part_between(start: int, stop: int, seed: int = 0) -> History:
    """Make a part of a history whose signals have schedules of their own."""
    numbers = np.arange(start, stop)
    tables = {signal: table_of(numbers[numbers % every == 0], seed) for signal, every in EVERY.items()}
    return History({signal: table for signal, table in tables.items() if len(table.steps)})


def add_run(store: Store) -> str:
    """Add a run of nobody's."""
    run_id = new_id()
    with store.writing() as writer:
        row = {"id": run_id, "kind": "external", "status": "training", "steps_done": 0, "created_at": writer.now()}
        writer.connection.execute(runs.insert().values(row))
    return run_id


def write(store: Store, run_id: str, *parts: History) -> None:
    for part in parts:
        with store.writing() as writer:
            write_part(writer, run_id, part, 1)


def overviews(store: Store, run_id: str, **asked: object) -> dict[str, Overview]:
    with store.reading() as reader:
        return {found.signal: found for found in read_overviews(reader, run_id, **asked)}  # type: ignore[arg-type]  # many ways to ask


def assert_right(found: Overview, table: SignalTable, start: int, stop: int, points: int) -> None:
    """Compare with what each bucket's rows come to one by one, in float64."""
    grid = make_grid(start, stop, points)
    assert len(grid.starts) <= points
    np.testing.assert_array_equal(found.starts, grid.starts)
    assert found.subjects == table.subjects
    for place, (first, end) in enumerate(zip(grid.starts, [*grid.starts, stop][1:], strict=True)):
        values = table.between(int(first), int(end)).values
        assert found.counts[place] == len(values)
        if not len(values):
            assert np.isnan([found.minimum[place], found.maximum[place], found.mean[place]]).all()
            continue
        np.testing.assert_array_equal(found.minimum[place], values.min(axis=0))
        np.testing.assert_array_equal(found.maximum[place], values.max(axis=0))
        with np.errstate(invalid="ignore"):
            mean, scale = (values / len(values)).sum(axis=0), np.abs(values).max(axis=0)
            wrong = ~np.isclose(found.mean[place] / scale, mean / scale, rtol=1e-6, atol=1e-6, equal_nan=True)
        assert not (wrong & np.isfinite(scale)).any()
        np.testing.assert_array_equal(found.mean[place][~np.isfinite(scale)], mean[~np.isfinite(scale)])


def assert_all_right(store: Store, run_id: str, start: int, stop: int | None, points: int) -> None:
    with store.reading() as reader:
        history = read_history(reader, run_id)
    done = (history.last_step or 0) + 1
    end = max(done if stop is None else min(stop, done), min(start, done))
    found = overviews(store, run_id, start=start, stop=stop, points=points)
    assert found.keys() == history.tables.keys()
    for signal, overview in found.items():
        assert_right(overview, history[signal], min(start, done), end, points)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 3000) | st.just(CHUNK_STEPS), min_size=1, max_size=8),
    gap=st.sampled_from([0, 0, 0, 17, 9000]),
    first=st.sampled_from([0, 0, 5, 4000]),
    asked=st.lists(
        st.tuples(st.integers(0, 12_000), st.none() | st.integers(0, 20_000), st.integers(1, 400)),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 1000),
)
def test_an_overview_is_what_brute_force_over_the_history_gives(
    store: Store,
    lengths: list[int],
    gap: int,
    first: int,
    asked: list[tuple[int, int | None, int]],
    seed: int,
):
    run_id, start = add_run(store), first
    for place, length in enumerate(lengths):
        write(store, run_id, part_between(start, start + length, seed))
        start += length + (gap if place == len(lengths) // 2 else 0)

    for begin, end, points in asked:
        assert_all_right(store, run_id, begin, end, points)


@pytest.mark.parametrize("points", [1, 7, 80, 3000])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (33, 16_000), (128, 8192), (8191, 8193), (15_000, None)])
def test_chunks_of_our_own_make_blocks_of_every_level(
    long_run: tuple[Store, str], start: int, stop: int | None, points: int
):
    assert_all_right(*long_run, start, stop, points)


@pytest.fixture
def long_run(store: Store) -> tuple[Store, str]:
    run_id = add_run(store)
    with store.writing() as writer:
        for start in range(0, 17_000, CHUNK_STEPS):
            write_part(writer, run_id, part_between(start, min(start + CHUNK_STEPS, 17_000)), 1)
    return store, run_id


def test_buckets_of_five_cells_are_put_together_of_those(store: Store):
    """Cells of 128 steps are shorter than a bucket of 160, and do not fill it."""
    run_id = add_run(store)
    write(store, run_id, part_between(4000, 4128), part_between(4128, 5121))
    assert make_grid(2, 5121, 40).width == 160
    assert_all_right(store, run_id, 2, None, 40)


def test_signals_that_come_one_after_the_other_are_whole_too(store: Store):
    """Blocks were made while a signal's rows had not arrived: they are made anew."""
    run_id = add_run(store)
    for start in range(0, 20_000, 1500):
        part = part_between(start, start + 1500)
        for signal, table in part.tables.items():
            write(store, run_id, History({signal: table}))

    for points in (3, 40, 130, 600):
        assert_all_right(store, run_id, 10, 19_000, points)


def test_one_value_among_many_is_never_hidden(store: Store):
    run_id, steps = add_run(store), np.arange(5 * ONE_BLOCK)
    values = np.ones((len(steps), 1))
    values[4321] = 1e9
    write(store, run_id, History({"grad_norm": SignalTable(steps, ("a",), values)}))

    found = overviews(store, run_id, points=3)["grad_norm"]

    assert found.maximum.max() == 1e9
    assert len(found.starts) == 3


def test_few_pieces_are_read_of_a_long_run(long_run: tuple[Store, str]):
    store, run_id = long_run
    with store.writing() as writer:
        levels = select(history_overviews.c.level, func.count()).where(history_overviews.c.signal == "grad_norm")
        found = {row[0]: row[1] for row in writer.connection.execute(levels.group_by(history_overviews.c.level))}
        # What reads a raw chunk fails from here on, but for the first, which has the names.
        chunks = history_chunks.c
        writer.connection.execute(history_chunks.update().where(chunks.first_step > 0).values(payload=b"not read"))

    assert found == {0: 133, 1: 8, 2: 2}
    assert len(overviews(store, run_id, signals=["grad_norm"], points=100)["grad_norm"].starts) == 67


def test_a_run_without_cells_is_read_from_its_chunks(long_run: tuple[Store, str]):
    """It was recorded before there was a pyramid, or begun before."""
    store, run_id = long_run
    pieces = history_overviews.c
    for gone in ((pieces.level == 0) & (pieces.first_step < 5000), pieces.run_id == run_id):
        with store.writing() as writer:
            writer.connection.execute(delete(history_overviews).where(gone))
        assert_all_right(store, run_id, 100, 16_000, 50)


def test_signals_and_subjects_can_be_chosen(long_run: tuple[Store, str]):
    store, run_id = long_run
    whole = overviews(store, run_id, points=100)

    assert overviews(store, run_id, points=100, signals=[]) == {}
    assert overviews(store, run_id, points=100, subjects=["layers.9"]) == {}
    found = overviews(store, run_id, points=100, signals=["grad_norm", "nothing"], subjects=[SUBJECTS[2], SUBJECTS[0]])
    assert list(found) == ["grad_norm"]
    assert found["grad_norm"].subjects == (SUBJECTS[0], SUBJECTS[2])
    np.testing.assert_array_equal(found["grad_norm"].maximum, whole["grad_norm"].maximum[:, [0, 2]])


def test_a_range_without_steps_has_no_buckets(long_run: tuple[Store, str]):
    for asked in ({"start": 10**12}, {"stop": 0}, {"start": 500, "stop": 400}):
        found = overviews(*long_run, points=10, **asked)
        assert {signal: overview.minimum.shape for signal, overview in found.items()} == dict.fromkeys(EVERY, (0, 3))


def test_what_does_not_exist_is_not_found_and_what_cannot_is_refused(store: Store):
    with store.reading() as reader:
        with pytest.raises(NotFound):
            read_overviews(reader, "nothing", points=5)
        with pytest.raises(InvalidSpec):
            read_overviews(reader, add_run(store), signals=["\0"], points=5)


def test_a_signal_whose_subjects_changed_is_refused(store: Store):
    run_id = add_run(store)
    write(store, run_id, History({"grad_norm": table_of(np.arange(100), subjects=("a", "b"))}))
    with pytest.raises(InvalidHistory, match="grad_norm"):
        write(store, run_id, History({"grad_norm": table_of(np.arange(100, 9000), subjects=("b", "a"))}))


def test_an_attempt_that_starts_over_leaves_no_cells(
    store: Store, post_job: Callable[..., Job], claim: Callable[..., Claim]
):
    job = post_job()
    first = claim(job)
    with store.writing() as writer:
        add_chunk(writer, first, part_between(0, 3000))
        release_run(writer, first)
    second = claim(job)
    with store.reading() as reader:
        assert reader.connection.execute(select(func.count()).select_from(history_overviews)).scalar_one() == 0
    with store.writing() as writer:
        add_chunk(writer, second, part_between(0, 2500, seed=9))

    assert_all_right(store, second.run_id, 0, None, 20)


def test_the_signals_of_a_run_are_named_without_the_others(store: Store):
    run_id, other = add_run(store), add_run(store)
    write(store, run_id, part_between(0, 10), part_between(10, 20))
    write(store, other, History({"aaa": table_of(np.arange(3))}))
    with store.reading() as reader:
        assert signals_of(reader, run_id) == sorted(EVERY)
        assert signals_of(reader, new_id()) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_number_takes_with_its_cells_as_many_bytes_as_users_are_told(store: Store):
    """Told before a run starts, by `history_bytes`: not less than a noisy signal takes, and not much more."""
    run_id, generator = add_run(store), np.random.default_rng(0)
    subjects, walk = tuple(f"layers.{place}" for place in range(200)), generator.normal(-7, 3, 200)
    before = Path(str(store.engine.url.database)).stat().st_size
    for start in range(0, 2 * ONE_BLOCK, CHUNK_STEPS):
        moves = walk + np.cumsum(generator.normal(0, 0.02, (CHUNK_STEPS, 200)), axis=0)
        walk = moves[-1]
        values = as_recorded(np.exp(moves) * (1 + 0.15 * generator.normal(size=moves.shape)))
        write(
            store, run_id, History({"grad_norm": SignalTable(np.arange(start, start + CHUNK_STEPS), subjects, values)})
        )
    store.close()  # the log goes into the file

    taken = (Path(str(store.engine.url.database)).stat().st_size - before) / (2 * ONE_BLOCK * 200)
    assert 0.9 * STORED_BYTES < taken < STORED_BYTES
