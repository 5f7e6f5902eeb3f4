"""Histories: written chunk by chunk while a run trains, read back as one. How a chunk is packed is the codec's business."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import insert, select, update

from gradclinic.errors import NotFound
from gradclinic.history import History, RunFacts, concatenate, decode_table, encode_table
from store.claim import Claim, write_fenced
from store.ids import is_id
from store.tables import history_chunks, jobs, runs
from store.texts import refuse_unstorable
from store.transactions import Reader, Writer

LAST_STEP = 2**31 - 1
"""The largest step that the table can hold."""


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
    write_fenced(writer, claim, step=done, version=jobs.c.version + 1)
    further = update(runs).where(runs.c.id == claim.run_id, runs.c.steps_done < done).values(steps_done=done)
    if writer.connection.execute(further).rowcount == 0:
        return
    rows = [
        {
            "run_id": claim.run_id,
            "signal": signal,
            "first_step": int(table.steps[0]),
            "last_step": int(table.steps[-1]),
            "attempt": claim.attempt,
            "payload": encode_table(table),
        }
        for signal, table in part.tables.items()
        if len(table.steps)
    ]
    writer.connection.execute(insert(history_chunks), rows)


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
    facts = _read_facts(reader, run_id)
    start, stop = min(start, LAST_STEP), None if stop is None else min(stop, LAST_STEP)
    chunks = history_chunks.c
    query = select(chunks.signal, chunks.payload).where(chunks.run_id == run_id, chunks.last_step >= start)
    if stop is not None:
        query = query.where(chunks.first_step < stop)
    if signals is not None:
        query = query.where(chunks.signal.in_(signals))
    rows = reader.connection.execute(query.order_by(chunks.first_step, chunks.signal))
    whole = concatenate(History({row.signal: decode_table(row.payload)}) for row in rows)
    return History(whole.select(None, subjects, start, stop).tables, facts)


def _read_facts(reader: Reader, run_id: str) -> RunFacts:
    query = select(runs.c.facts).where(runs.c.id == run_id)
    row = reader.connection.execute(query).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    return RunFacts() if row.facts is None else RunFacts.model_validate_json(row.facts)
