"""How fast a history is written, and how small: through the real store, next to what others keep numbers in."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.databases import NO_SERVER, claim_run, databases, open_store, stored_bytes
from benchmarks.results import Aim, Part, Table, spread
from benchmarks.rival_stores import RIVAL_STORES
from benchmarks.trouble import in_words
from benchmarks.walks import walk_chunks
from benchmarks.written import Written
from gradclinic.contract.training import PARAMETER_SIGNALS
from gradclinic.history import History
from store.histories import add_chunk
from store.transactions import Store

LAYERS, STEPS, ROUNDS = 200, 2000, 5
RIVAL_ROUNDS = 3
SIGNALS = PARAMETER_SIGNALS
AT_LEAST_MILLION, AT_MOST_BYTES = 20.0, 3.5
OURS = ("SQLite", "PostgreSQL")
FLOOR = "float32 in a plain file, synced: the floor"

Found = Mapping[str, list[Written | str]]
"""By what was written to: each time it was, or in words why it was not."""


def measure(*, quick: bool = False) -> Part:
    """Write the same numbers everywhere in turn."""
    layers, steps, rounds, rival_rounds = (3, 40, 1, 1) if quick else (LAYERS, STEPS, ROUNDS, RIVAL_ROUNDS)
    chunks = list(walk_chunks(SIGNALS, layers, steps))
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        whole: dict[str, Callable[[], Written]] = {FLOOR: partial(_write_plain, chunks, folder)}
        stores = {name: in_words(_open, opened, stack) for name, opened in databases(folder).items()}
        for database, store in stores.items():
            if isinstance(store, Store):
                whole[_ours(database)] = partial(write_store, store, chunks, steps)
        prefixes = {
            rival: partial(write, chunks, min(prefix, steps), folder) for rival, (write, prefix) in RIVAL_STORES.items()
        }
        for write in whole.values():  # what is slow once
            in_words(write)
        found: dict[str, list[Written | str]] = {}
        found |= {name: [in_words(write) for _ in range(rival_rounds)] for name, write in prefixes.items()}
        turns = [{name: in_words(write) for name, write in whole.items()} for _ in range(rounds)]
    found |= {name: [turn[name] for turn in turns] for name in whole}
    found |= {_ours(name): [store] for name, store in stores.items() if isinstance(store, str)}
    names = [name for name in (*map(_ours, OURS), FLOOR, *RIVAL_STORES) if name in found]
    numbers = layers * steps * len(SIGNALS)
    title = f"{layers} layers x {steps:,} steps x {len(SIGNALS)} signals: {numbers / 1e6:.2f} million numbers"
    headings = ["", "million numbers a second", "bytes a number", "numbers written"]
    return Part(
        name="writing",
        tables=[Table(title=title, headings=headings, rows=[[name, *_row(found[name])] for name in names])],
        aims=[aim for database in OURS for aim in _aims(database, found.get(_ours(database), []))],
        notes=[*_trouble(found), *([] if _ours("PostgreSQL") in found else [NO_SERVER])],
    )


def _open(opened: AbstractContextManager[str], stack: ExitStack) -> Store:
    return stack.enter_context(open_store(stack.enter_context(opened)))


def write_store(store: Store, chunks: Iterable[History], steps: int) -> Written:
    """Write a history as a worker does: chunk by chunk, each in a transaction of its own."""
    claim = claim_run(store, steps)
    before = stored_bytes(store.engine)
    numbers = 0
    began = time.perf_counter()
    for chunk in chunks:
        with store.writing() as writer:
            add_chunk(writer, claim, chunk)
        numbers += sum(table.values.size for table in chunk.tables.values())
    seconds = time.perf_counter() - began
    return Written(numbers, seconds, stored_bytes(store.engine) - before)


def _write_plain(chunks: Iterable[History], folder: Path) -> Written:
    path = folder / "plain"
    began = time.perf_counter()
    with path.open("wb") as file:
        for chunk in chunks:
            for table in chunk.tables.values():
                file.write(table.values.astype(np.float32).tobytes())
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    size = path.stat().st_size
    return Written(size // 4, seconds, size)


def _ours(database: str) -> str:
    return f"gradclinic's store on {database}"


def _row(attempts: list[Written | str]) -> list[str]:
    done = _done(attempts)
    if not done:
        return ["failed", "-", "-"]
    return [
        spread([written.million_a_second for written in done]),
        spread([written.bytes_a_number for written in done], 2),
        f"{done[0].numbers:,}",
    ]


def _aims(database: str, attempts: list[Written | str]) -> list[Aim]:
    done = _done(attempts)
    speed = statistics.median(written.million_a_second for written in done) if done else None
    size = statistics.median(written.bytes_a_number for written in done) if done else None
    return [
        Aim(what=f"writing to {database}", measured=speed, unit="M numbers/s", at_least=AT_LEAST_MILLION),
        Aim(what=f"writing to {database}: size", measured=size, unit="B a number", at_most=AT_MOST_BYTES),
    ]


def _done(attempts: list[Written | str]) -> list[Written]:
    return [attempt for attempt in attempts if isinstance(attempt, Written)]


def _trouble(found: Found) -> list[str]:
    words = {name: [attempt for attempt in attempts if isinstance(attempt, str)] for name, attempts in found.items()}
    return [f"{name}: {texts[0]}" for name, texts in words.items() if texts]
