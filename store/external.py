"""Runs from outside: begun, filled chunk by chunk, ended and deleted by whoever trains. Judging them is not done here.

Chunks are numbered from 0 by who sends them, so that one that comes twice is seen to be the same, and one that is
missing is missed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.external import LAST_STEP, LEAST_COUNTED, MAX_COLUMNS, MAX_SIGNALS, NewRun
from gradclinic.contract.job import Run, RunStatus
from gradclinic.errors import ChunkOutOfOrder, Fault, InvalidSpec, NotFound, RunBelongsToJob, RunEnded, RunsFull
from gradclinic.history import History, RunFacts, SignalTable
from gradclinic.history.check import column_of
from store.diagnoses import write_diagnosis
from store.histories import write_part
from store.history_chunks import last_chunks, read_subjects
from store.ids import is_id, new_id
from store.runs import chunks_received, find_run
from store.status import move_run
from store.tables import external_chunks, runs
from store.transactions import Reader, Writer

ATTEMPT = 1
"""An external run has one: what its uploader repeats is told by the numbers of its chunks."""


@dataclass(frozen=True)
class Room:
    """How many numbers external runs may hold: one of them, and all together."""

    in_run: int
    in_all: int


def refuse_another_run(reader: Reader, limit: int) -> None:
    """Refuse to begin a run where as many are kept as may be.

    Raises:
        RunsFull: So it is.
    """
    # External runs are those without a job; that is indexed, their kind is not.
    kept = reader.connection.execute(select(func.count()).where(runs.c.job_id.is_(None))).scalar_one()
    if kept >= limit:
        raise RunsFull(f"{kept:,} external runs are kept, and {limit:,} may be.")


def add_external_run(writer: Writer, new: NewRun, facts: RunFacts) -> Run:
    """Add a run that trains elsewhere."""
    now, run_id = writer.now(), new_id()
    writer.connection.execute(
        insert(runs).values(
            id=run_id,
            kind="external",
            status="training",
            steps_done=0,
            created_at=now,
            started_at=now,
            name=new.name,
            labels=_json(new.labels),
            thresholds=_json(new.diagnosis.thresholds),
            facts=facts.model_dump_json(),
        )
    )
    return find_run(writer, run_id)


def add_external_chunk(  # noqa: PLR0913 - what a chunk is made of, each by its keyword
    writer: Writer,
    run_id: str,
    *,
    number: int,
    sha256: str,
    part: History,
    facts: RunFacts | None,
    room: Room,
) -> Run:
    """Add the chunk with this number to a run; one that is there already changes nothing.

    The tables of `part` have been checked (`gradclinic.history.check`); here it is checked that they follow from those
    received before. Facts replace those that were known.

    Raises:
        NotFound: There is no run with that id.
        RunBelongsToJob: It is not an external one.
        ChunkOutOfOrder: Another chunk has to come first, or came with this number.
        RunEnded: The run has ended.
        InvalidSpec: Its steps do not follow, its subjects are others than before, or it is too much for one run.
        RunsFull: It is too much for all runs together.
    """
    status = _held(writer, run_id)
    received = _received(writer, run_id)
    if number < received:
        _refuse_another(writer, run_id, number, sha256, received)
        return find_run(writer, run_id)
    if status != "training":
        raise RunEnded(f"Run {run_id} has ended as {status} after {received:,} chunks; it takes no more.")
    if number > received:
        detail = f"Chunk {number} came, and {received} have been received: the next has the number {received}."
        raise ChunkOutOfOrder(detail, received)
    part = _following(writer, run_id, part)
    numbers = _counted(part)
    _refuse_too_many(writer, run_id, numbers, room)
    chunk = {"run_id": run_id, "number": number, "sha256": sha256, "numbers": numbers}
    writer.connection.execute(insert(external_chunks).values(chunk))
    write_part(writer, run_id, part, ATTEMPT)
    if facts is not None:
        writer.connection.execute(update(runs).where(runs.c.id == run_id).values(facts=facts.model_dump_json()))
    return find_run(writer, run_id)


def refuse_job_run(run: Run) -> None:
    """Refuse what may be done to an external run alone.

    Raises:
        RunBelongsToJob: The run is a job's.
    """
    if run.job_id is not None:
        raise RunBelongsToJob(run.id, run.job_id)


def end_external_run(  # noqa: PLR0913 - what an end is made of, each by its keyword
    writer: Writer, run_id: str, *, status: RunStatus, chunks: int, facts: RunFacts, diagnosis: Diagnosis | None
) -> bool:
    """End a run that has this many chunks, and keep its diagnosis; say whether it still had as many, and trained.

    Raises:
        NotFound: There is no run with that id.
        RunBelongsToJob: It is not an external one.
    """
    if _held(writer, run_id) != "training" or _received(writer, run_id) != chunks:
        return False
    outcome = None if facts.outcome is None else facts.outcome.model_dump_json()
    health = None if diagnosis is None else diagnosis.health
    move_run(writer, run_id, status, facts=facts.model_dump_json(), outcome=outcome, health=health)
    if diagnosis is not None:
        write_diagnosis(writer, run_id, diagnosis)
    return True


def delete_external_run(writer: Writer, run_id: str) -> None:
    """Delete a run with its history and its diagnosis, also while it trains: whoever sends more learns that it is gone.

    Raises:
        NotFound: There is no run with that id.
        RunBelongsToJob: It is not an external one.
    """
    _held(writer, run_id)
    writer.connection.execute(delete(runs).where(runs.c.id == run_id))


def _held(writer: Writer, run_id: str) -> str:
    """Return the status of an external run, which nobody else changes before this transaction has ended."""
    query = select(runs.c.job_id, runs.c.status).where(runs.c.id == run_id).with_for_update()
    row = writer.connection.execute(query).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    if row.job_id is not None:
        raise RunBelongsToJob(run_id, row.job_id)
    status: str = row.status
    return status


def _received(reader: Reader, run_id: str) -> int:
    found: int = reader.connection.execute(select(chunks_received(run_id))).scalar_one()
    return found


def _refuse_another(writer: Writer, run_id: str, number: int, sha256: str, received: int) -> None:
    key = (external_chunks.c.run_id == run_id, external_chunks.c.number == number)
    if writer.connection.execute(select(external_chunks.c.sha256).where(*key)).scalar_one() != sha256:
        detail = f"Chunk {number} was received with other content. The next has the number {received}."
        raise ChunkOutOfOrder(detail, received)


def _counted(part: History) -> int:
    """Return how many numbers a part counts as."""
    return max(LEAST_COUNTED, sum(max(LEAST_COUNTED, table.values.size) for table in part.tables.values()))


def _refuse_too_many(reader: Reader, run_id: str, numbers: int, room: Room) -> None:
    total = select(func.coalesce(func.sum(external_chunks.c.numbers), 0))
    held = int(reader.connection.execute(total.where(external_chunks.c.run_id == run_id)).scalar_one())
    if held + numbers > room.in_run:
        detail = f"The run holds {held:,} numbers, and this chunk would add {numbers:,}."
        todo = f"record less, or less often, or send more steps at once (a signal counts as {LEAST_COUNTED} at least)"
        raise InvalidSpec([Fault("/columns", detail, f"at most {room.in_run:,} in one run: {todo}")])
    # On PostgreSQL chunks of other runs that are being added are not seen: all together can overrun it by a few.
    held = int(reader.connection.execute(total).scalar_one())
    if held + numbers > room.in_all:
        raise RunsFull(
            f"All external runs hold {held:,} numbers, this chunk would add {numbers:,}, and {room.in_all:,} may be held."
        )


def _following(reader: Reader, run_id: str, part: History) -> History:
    """Return the part with its subjects in the order of those received before, if it follows them.

    Raises:
        InvalidSpec: It does not.
    """
    last = {chunk.signal: chunk for chunk in last_chunks(reader, run_id)}
    known = [chunk for signal, chunk in last.items() if signal in part.tables]
    _refuse_too_wide({signal: chunk.subjects for signal, chunk in last.items()}, part)
    subjects = read_subjects(reader, run_id, known)
    faults: list[Fault] = []
    tables = dict(part.tables)
    for chunk in known:
        signal, table = chunk.signal, part.tables[chunk.signal]
        if table.steps[0] <= chunk.last_step:
            detail = f"{signal} was received up to step {chunk.last_step}, and begins with step {table.steps[0]} here."
            faults.append(Fault("/steps", detail, f"steps from {chunk.last_step + 1} to {LAST_STEP}"))
        if set(table.subjects) != set(subjects[signal]):
            faults.append(_other_subjects(signal, table, subjects[signal]))
        else:
            tables[signal] = _reordered(table, subjects[signal])
    if faults:
        raise InvalidSpec(faults)
    return History(tables, part.facts)


def _refuse_too_wide(before: Mapping[str, int], part: History) -> None:
    """Refuse a part with which the run would have too many signals or columns: whoever reads it has to know all of them.

    Args:
        before: The number of columns of each signal that was received.
        part: What is to be added.
    """
    after = {signal: len(table.subjects) for signal, table in part.tables.items()} | dict(before)
    if len(after) > MAX_SIGNALS:
        raise InvalidSpec([Fault("/columns", f"The run would have {len(after)} signals.", f"at most {MAX_SIGNALS}")])
    if (columns := sum(after.values())) > MAX_COLUMNS:
        raise InvalidSpec([Fault("/columns", f"The run would have {columns:,} columns.", f"at most {MAX_COLUMNS:,}")])


def _other_subjects(signal: str, table: SignalTable, before: Sequence[str]) -> Fault:
    more, fewer = set(table.subjects) - set(before), set(before) - set(table.subjects)
    words = [
        f"{len(names)} {what}, such as {min(names)!r}"
        for names, what in ((more, "are new"), (fewer, "are missing"))
        if names
    ]
    expected = "the same layers or parameters in every chunk"
    return Fault(column_of(signal, table), f"Of the columns of {signal}, {'; '.join(words)}.", expected)


def _reordered(table: SignalTable, subjects: tuple[str, ...]) -> SignalTable:
    if table.subjects == subjects:
        return table
    place = {subject: number for number, subject in enumerate(table.subjects)}
    return SignalTable(table.steps, subjects, table.values[:, [place[subject] for subject in subjects]])


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
