"""Sending a recorded history to a service: cut into chunks that it takes, numbered, so that each can be sent again.

What may go out while a training still runs is `gradclinic.client.streaming`'s business.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from gradclinic.client.connection import PATIENCE_SECONDS, Connection, path_of, read_as
from gradclinic.contract.external import MAX_CHUNK_NUMBERS
from gradclinic.contract.job import Run
from gradclinic.errors import GradclinicError
from gradclinic.history import CHUNK_STEPS, History, RunFacts
from gradclinic.history.packed import MEDIA_TYPE, pack_part

RESTART_SECONDS = 30.0
"""How long an upload puts up with a service that is gone: long enough for a restart or a new release of it."""

CHUNK_SECONDS = 30.0
"""What storing one chunk may take beyond the time of another answer."""

JUDGE_SECONDS = 120.0
"""What judging a run may take: the longest ones take seconds, and others may be before it."""


def upload_history(
    connection: Connection,
    history: History,
    *,
    name: str | None,
    labels: Mapping[str, str] | None,
    thresholds: Mapping[str, float] | None,
) -> Run:
    """Send a whole history, and return the run once it is judged. Of one that cannot be sent nothing is left there."""
    facts = facts_document(history.facts)
    run = begin_run(connection, begin_document(name, labels, thresholds, facts), str(uuid.uuid4()), PATIENCE_SECONDS)
    try:
        for number, part in enumerate(parts_of(history)):
            send_chunk(connection, run.id, number, pack_part(part), RESTART_SECONDS)
    except GradclinicError:
        with suppress(GradclinicError):  # what went wrong first is what is told
            connection.send("DELETE", path_of("runs", run.id))
        raise
    status = "succeeded" if history.facts.error is None else "failed"
    return finish_run(connection, run.id, {"status": status}, RESTART_SECONDS)


def begin_document(
    name: str | None,
    labels: Mapping[str, str] | None,
    thresholds: Mapping[str, float] | None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what `POST /v1/runs` takes."""
    document: dict[str, Any] = {"name": name, "labels": dict(labels or {})}
    if thresholds:
        document["diagnosis"] = {"thresholds": dict(thresholds)}
    return document if facts is None else document | {"facts": facts}


def begin_run(connection: Connection, document: Mapping[str, Any], key: str, patience: float) -> Run:
    """Begin a run; with the same key, it is the same run however often this is asked."""
    headers = {"Idempotency-Key": key}
    return read_as(Run, connection.send("POST", "/v1/runs", json=document, headers=headers, patience=patience))


def send_chunk(connection: Connection, run_id: str, number: int, body: bytes, patience: float) -> Run:
    """Send one packed chunk. A service that has it already says so by a good answer."""
    answer = connection.send(
        "POST",
        path_of("runs", run_id, "history"),
        content=io.BytesIO(body),
        params={"chunk": number},
        headers={"Content-Type": MEDIA_TYPE},
        hold=CHUNK_SECONDS,
        patience=patience,
    )
    return read_as(Run, answer)


def finish_run(connection: Connection, run_id: str, document: Mapping[str, Any], patience: float) -> Run:
    """End a run, and return it as it is judged."""
    path = path_of("runs", run_id, "finish")
    return read_as(Run, connection.send("POST", path, json=document, hold=JUDGE_SECONDS, patience=patience))


def facts_document(facts: RunFacts) -> dict[str, Any]:
    """Return facts as JSON has them: a number that is not finite becomes null. Of a preflight there is no history to send."""
    document: dict[str, Any] = json.loads(facts.model_dump_json(exclude={"preflight"}))
    return document


def parts_of(history: History) -> Iterator[History]:
    """Cut a history into parts that a service takes, at steps where it cuts its own histories, none of them tiny."""
    pieces = [table.steps for table in history.tables.values()]
    steps = np.unique(np.concatenate(pieces)) if pieces else np.empty(0, np.int64)
    if not len(steps):
        return
    columns = sum(len(table.subjects) for table in history.tables.values())
    most = max(MAX_CHUNK_NUMBERS // max(columns, 1), 1)
    # A part ends with a block of steps; a block without many steps, where little is recorded, is joined to the next.
    ends = np.flatnonzero(np.diff(steps // CHUNK_STEPS, append=-1)) + 1
    start = 0
    while start < len(steps):
        enough = min(start + min(CHUNK_STEPS, most), len(steps))
        end = min(int(ends[np.searchsorted(ends, enough)]), start + most)
        stop = int(steps[end - 1]) + 1
        yield history.select(start=int(steps[start]), stop=stop)
        start = end
