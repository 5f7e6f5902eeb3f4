"""Cutting a history into parts, and what waits to be sent."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.client import upload
from gradclinic.client.spool import Spool, SpoolFull
from gradclinic.client.upload import parts_of
from gradclinic.history import CHUNK_STEPS, History, SignalTable, concatenate
from gradclinic.history.check import numbers_in

STEPS = st.sets(st.integers(0, 2000), max_size=600) | st.integers(0, 1500).map(lambda n: set(range(n)))


def history_of(*steps: set[int], columns: int = 1) -> History:
    tables = {}
    for number, some in enumerate(steps):
        at = np.array(sorted(some), np.int64)
        subjects = tuple(map(str, range(columns)))
        tables[f"s{number}"] = SignalTable(at, subjects, np.outer(at, np.arange(columns)).astype(float))
    return History(tables)


@given(STEPS, STEPS)
def test_parts_joined_are_the_whole_and_end_where_chunks_end(first: set[int], second: set[int]):
    history = history_of(first, second)
    parts = list(parts_of(history))
    joined = concatenate(parts)
    for signal, table in history.tables.items():
        found = joined[signal].steps.tolist() if signal in joined else []
        assert found == table.steps.tolist()
    ends = [part.last_step for part in parts]
    starts = [min(int(t.steps[0]) for t in part.tables.values() if len(t.steps)) for part in parts]
    for end, start in zip(ends[:-1], starts[1:], strict=True):
        assert end is not None
        assert end // CHUNK_STEPS < start // CHUNK_STEPS
    assert len(parts) <= len(first | second) // CHUNK_STEPS + 1


def test_no_part_has_more_numbers_than_a_service_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "MAX_CHUNK_NUMBERS", 1000)
    history = history_of(set(range(500)), columns=30)
    parts = list(parts_of(history))
    assert max(numbers_in(part.tables) for part in parts) <= 1000
    assert concatenate(parts)["s0"].values.tolist() == history["s0"].values.tolist()


def test_an_empty_history_has_no_parts():
    assert list(parts_of(History())) == []
    assert list(parts_of(history_of(set()))) == []


@pytest.mark.parametrize("in_memory", [1, 10**6])
def test_a_spool_gives_back_what_was_put_in(in_memory: int):
    spool = Spool(in_memory)
    bodies = [bytes([n]) * n for n in range(1, 50)]
    for body in bodies:
        spool.put(body)
    found = []
    while (body := spool.first()) is not None:
        found.append(body)
        spool.drop_first()
    assert (found, len(spool)) == (bodies, 0)
    spool.put(b"again")
    assert spool.first() == b"again"
    spool.close()


@pytest.mark.parametrize("in_memory", [1, 10**6])
def test_what_is_kept_stays_though_it_is_forgotten_meanwhile(in_memory: int):
    """The last answer may come while what is unsent is being written to a file."""
    spool = Spool(in_memory)
    for body in (b"0", b"11", b"222"):
        spool.put(body)
    spool.drop_first()
    dropped, kept = spool.keep()
    spool.drop_first()
    spool.drop_first()
    assert (dropped, list(kept)) == (1, [b"11", b"222"])
    assert (spool.dropped, len(spool), spool.first()) == (3, 0, None)
    spool.close()


def test_a_spool_has_an_end_and_room_again_once_it_was_emptied():
    spool = Spool(most=10)
    spool.put(b"12345678")
    with pytest.raises(SpoolFull, match="8 bytes wait"):
        spool.put(b"123")
    spool.drop_first()
    spool.put(b"123")
    spool.close()


def test_one_thread_may_put_in_while_another_takes_out():
    spool, found = Spool(in_memory=64), []
    bodies = [str(n).encode() * 5 for n in range(2000)]

    def take() -> None:
        while len(found) < len(bodies):
            if (body := spool.first()) is not None:
                found.append(body)
                spool.drop_first()

    taker = threading.Thread(target=take)
    taker.start()
    for body in bodies:
        spool.put(body)
    taker.join()
    assert found == bodies
    spool.close()
