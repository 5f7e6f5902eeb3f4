"""Histories: written chunk by chunk while a run trains, read back as one. How a chunk is packed is the codec's business."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, case, insert, select, update

from gradclinic.errors import NotFound
from gradclinic.history import (
    History,
    RunFacts,
    SignalTable,
    concatenate,
    decode_table,
    encode_table,
)
from store.claim import Claim, write_fenced
from store.ids import is_id
from store.overviews import add_cells
from store.stored import read_stored
from store.tables import history_chunks, jobs, runs
from store.texts import refuse_unstorable
from store.transactions import Reader, Writer

LAST_STEP = 2**31 - 1
"""The largest step that the table can hold."""

_chunks = history_chunks.c


def add_chunk(writer: Writer, claim: Claim, part: History) -> None:
    """Add the rows since the last chunk to the claim's run, and move its progress on.

    A chunk that is there already changes nothing: its writer tries again where only the acknowledgement was lost.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    if part.last_step is None:
        write_fenced(writer, claim)
        return
    done = part.last_step + 1
    # The rows of a preflight are no steps: none were planned.
    step = case((jobs.c.steps == 0, 0), else_=done)
    write_fenced(writer, claim, step=step, version=jobs.c.version + 1)
    before = steps_done(writer, claim.run_id)
    if before < done:
        _write(writer, claim.run_id, part, claim.attempt, before)


def write_part(writer: Writer, run_id: str, part: History, attempt: int) -> None:
    """Add the rows of a part to a run, with their cells, and note how many steps the run has now.

    Chunks may be of any length. Each signal has to keep its subjects, and its steps to follow those that are there.
    """
    _write(writer, run_id, part, attempt, steps_done(writer, run_id))


def _write(writer: Writer, run_id: str, part: History, attempt: int, before: int) -> None:
    """Add the rows of a part to a run that has had `before` steps until now."""
    tables = {signal: table for signal, table in part.tables.items() if len(table.steps)}
    if part.last_step is None:
        return
    rows = [
        {
            "run_id": run_id,
            "signal": signal,
            "first_step": int(table.steps[0]),
            "last_step": int(table.steps[-1]),
            "attempt": attempt,
            "payload": encode_table(table),
        }
        for signal, table in tables.items()
    ]
    done = part.last_step + 1
    writer.connection.execute(insert(history_chunks), rows)
    add_cells(writer, run_id, tables, before)
    grown = {"steps_done": max(before, done), "written_at": writer.now()}
    writer.connection.execute(update(runs).where(runs.c.id == run_id).values(grown))


def save_facts(writer: Writer, claim: Claim, facts: RunFacts) -> None:
    """Keep what is known about the claim's run beside its signals.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    write_fenced(writer, claim, version=jobs.c.version + 1)
    writer.connection.execute(update(runs).where(runs.c.id == claim.run_id).values(facts=facts.model_dump_json()))


def read_history(  # noqa: PLR0913 - the parameters of the HTTP history
    reader: Reader,
    run_id: str,
    *,
    signals: Collection[str] | None = None,
    subjects: Collection[str] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> History:
    """Return what is stored of a run's history, or the part asked for: `start <= step < stop`.

    Only the chunks that hold some of it are unpacked.

    Raises:
        InvalidSpec: A signal's name holds a character that no database can.
        NotFound: There is no run with that id.
    """
    refuse_unstorable({"/signals": signals or ()})
    facts = read_facts(reader, run_id)
    return History(read_tables(reader, run_id, signals=signals, subjects=subjects, start=start, stop=stop), facts)


def read_tables(  # noqa: PLR0913 - likewise
    reader: Reader,
    run_id: str,
    *,
    signals: Collection[str] | None = None,
    subjects: Collection[str] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Mapping[str, SignalTable]:
    """Return the tables of `read_history`, of a run that is there, without its facts."""
    start, stop = _range(start, stop)
    query = select(_chunks.signal, _chunks.payload).where(*_asked_for(run_id, signals, start, stop))
    rows = reader.connection.execute(query.order_by(_chunks.first_step, _chunks.signal))
    none = RunFacts()
    parts = (History({row.signal: decode_table(row.payload)}, none).select(None, subjects, start, stop) for row in rows)
    return concatenate(parts).tables


def _range(start: int, stop: int | None) -> tuple[int, int]:
    """Return the range within what the table can hold."""
    end = LAST_STEP + 1 if stop is None else min(stop, LAST_STEP + 1)
    return min(max(start, 0), LAST_STEP), max(end, 0)


def _asked_for(run_id: str, signals: Collection[str] | None, start: int, stop: int) -> list[ColumnElement[bool]]:
    # Both ends inside: `first_step < stop` would not fit into the column where the range is open.
    conditions = [_chunks.run_id == run_id, _chunks.last_step >= start, _chunks.first_step <= stop - 1]
    return conditions if signals is None else [*conditions, _chunks.signal.in_(signals)]


def steps_done(reader: Reader, run_id: str) -> int:
    """Return how many steps of a run have been recorded.

    Raises:
        NotFound: There is no run with that id.
    """
    query = select(runs.c.steps_done).where(runs.c.id == run_id)
    found: int | None = reader.connection.execute(query).scalar_one_or_none() if is_id(run_id) else None
    if found is None:
        raise NotFound("run", run_id)
    return found


def read_facts(reader: Reader, run_id: str) -> RunFacts:
    """Return what is known about a run beside its signals.

    Raises:
        NotFound: There is no run with that id.
    """
    query = select(runs.c.facts).where(runs.c.id == run_id)
    row = reader.connection.execute(query).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    return RunFacts() if row.facts is None else read_stored(RunFacts, row.facts)
