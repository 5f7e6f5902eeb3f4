"""Chunks one by one: found without being read, and read however many they are."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import insert

from gradclinic.contract.external import NewRun
from gradclinic.errors import NotFound
from gradclinic.history import WHOLE_STEP, RunFacts, SignalTable, encode_table
from store.external import add_external_run
from store.history_chunks import Chunk, last_chunks, list_chunks, read_chunks
from store.tables import history_chunks
from store.transactions import Store

MANY = 17_000
"""More than SQLite takes names of in one statement."""


@pytest.fixture
def run_id(store: Store) -> str:
    with store.writing() as writer:
        return add_external_run(writer, NewRun(), RunFacts()).id


@pytest.mark.slow
def test_very_many_small_chunks_are_read_in_their_order(store: Store, run_id: str):
    """Whoever sends a history step by step makes as many."""
    rows = [
        {
            "run_id": run_id, "signal": "loss", "first_step": step, "last_step": step, "attempt": 1,
            "payload": encode_table(SignalTable(np.array([step]), (WHOLE_STEP,), np.ones((1, 1)))),
        }
        for step in range(MANY)
    ]  # fmt: skip
    with store.writing() as writer:
        writer.connection.execute(insert(history_chunks), rows)

    with store.reading() as reader:
        chunks = list_chunks(reader, run_id, signals=None, start=0, stop=MANY)
        read = read_chunks(reader, run_id, chunks)
        assert [chunk.first_step for chunk in last_chunks(reader, run_id)] == [MANY - 1]
    assert [int(table.steps[0]) for _, table in read] == list(range(MANY))


def test_a_chunk_that_is_gone_is_told(store: Store, run_id: str):
    with store.reading() as reader, pytest.raises(NotFound):
        read_chunks(reader, run_id, [Chunk("loss", 0, 127, 128, 1, is_wide=False)])
