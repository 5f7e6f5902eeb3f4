"""Runs from outside: taken in, filled, and judged when they end.

The service judges them itself, in the request that ends them. It is no worker's job: it needs no torch, takes less
than a second however long the run was, and whoever ends a run waits for the answer, while a queue of trainings may be hours
long, or a service may have no workers at all. What it does need is memory, hence the limiters in `service.app`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.external import FinishedRun, NewRun
from gradclinic.contract.job import Run
from gradclinic.contract.parse import load_json, parse_document
from gradclinic.diagnosis import check_thresholds
from gradclinic.errors import Conflict, InvalidSpec, NoDiagnosis, RunEnded
from gradclinic.history import RunFacts
from service.answers import run_with_links
from service.external_form import PostedPart, known_facts
from service.judging import judge_run
from store.external import (
    Room,
    add_external_chunk,
    add_external_run,
    end_external_run,
    refuse_another_run,
    refuse_job_run,
)
from store.histories import read_facts
from store.idempotency import StoredAnswer, keep_answer, recall_answer
from store.judging import thresholds_of
from store.runs import find_run
from store.transactions import Store

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""Of what is said when a run begins and ends: facts of some ten thousand layers."""

ROUNDS = 3
"""How often a run is judged again because a chunk came in meanwhile."""

NO_FIXES = (
    "No fixes are proposed: the training ran in a loop of its own, so that there is no spec that could be changed."
)


def begin_run(store: Store, body: bytes, key: str | None, max_runs: int) -> StoredAnswer:
    """Add the run that a document describes, or recall the answer that the same request got.

    Raises:
        InvalidSpec: The document is wrong; `faults` lists every place.
        KeyReused: The key came with another document before.
        RunsFull: As many external runs are kept as may be.
    """
    document = load_json(body)
    new = parse_document(NewRun, document)
    if faults := check_thresholds(new.diagnosis.thresholds):
        raise InvalidSpec(faults)
    fingerprint = _fingerprint(document)
    with store.writing() as writer:
        if key is not None and (kept := recall_answer(writer, key, fingerprint)):
            return StoredAnswer(kept.status, kept.body, kept.headers | {"Idempotency-Replayed": "true"})
        refuse_another_run(writer, max_runs)
        run = run_with_links(add_external_run(writer, new, known_facts(new.facts)))
        # 201, where a job gets a 202: the run is there at once, and nothing is left to be done about it.
        answer = StoredAnswer(201, run.model_dump_json(), {"Location": run.links["self"]})
        if key is not None:
            keep_answer(writer, key, fingerprint, answer)
    return answer


def take_chunk(  # noqa: PLR0913 - what a chunk is made of, each by its keyword
    store: Store, run_id: str, *, number: int, sha256: str, part: PostedPart, room: Room
) -> Run:
    """Add a chunk to a run's history; see `store.external.add_external_chunk` for what is refused."""
    with store.writing() as writer:
        return add_external_chunk(
            writer,
            run_id,
            number=number,
            sha256=sha256,
            part=part.history,
            facts=part.facts,
            room=room,
        )


def finish_run(store: Store, run_id: str, body: bytes) -> Run:
    """Judge what was recorded of a run, and end it. Said again alike, it changes nothing.

    Raises:
        InvalidSpec: The document is wrong; `faults` lists every place.
        NotFound: There is no such run.
        RunBelongsToJob: It is not an external one.
        RunEnded: It ended, and not as it is said to now.
        Conflict: Chunks came in again and again while it was judged.
    """
    finished = parse_document(FinishedRun, load_json(body))
    for _ in range(ROUNDS):
        run, known = _read_run(store, run_id)
        facts = _facts_at_end(known, finished)
        if run.status != "training":
            if (run.status, facts) != (finished.status, known):
                raise RunEnded(f"Run {run_id} ended as {run.status} before, and something else is said of its end now.")
            return run
        # No transaction is open meanwhile: SQLite has one writer at a time, and workers have to write.
        diagnosis = _judge(store, run_id, facts)
        with store.writing() as writer:
            chunks = run.chunks or 0
            if end_external_run(
                writer, run_id, status=finished.status, chunks=chunks, facts=facts, diagnosis=diagnosis
            ):
                return find_run(writer, run_id)
    raise Conflict(f"Chunks of run {run_id} came in while it was judged. Finish it when all of them are there.")


def _read_run(store: Store, run_id: str) -> tuple[Run, RunFacts]:
    with store.reading() as reader:
        run = find_run(reader, run_id)
        refuse_job_run(run)
        return run, read_facts(reader, run_id)


def _facts_at_end(known: RunFacts, finished: FinishedRun) -> RunFacts:
    facts = known if finished.facts is None else known_facts(finished.facts)
    given = {"outcome": finished.outcome, "error": finished.error}
    changes = {name: value.model_dump() for name, value in given.items() if value is not None}
    return RunFacts.model_validate(facts.model_dump() | changes)


def _judge(store: Store, run_id: str, facts: RunFacts) -> Diagnosis | None:
    """Return the diagnosis; None where nothing was recorded that could be judged."""
    with store.reading() as reader:
        try:
            diagnosis = judge_run(reader, run_id, thresholds_of(reader, run_id), facts)
        except NoDiagnosis:
            return None
    return diagnosis.model_copy(update={"notes": [*diagnosis.notes, NO_FIXES]})


def _fingerprint(document: Any) -> str:
    return hashlib.sha256(f"/v1/runs\n{json.dumps(document, sort_keys=True)}".encode()).hexdigest()
