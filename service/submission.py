"""Taking a job in: check the spec, add the job, remember the answer, and ring the bell once that is committed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header

from gradclinic.contract.job import Job
from service.answers import headers_of, with_links
from service.errors import QueueFull
from service.posted import accept_document
from service.provided import GivenBell, GivenSettings, GivenStore
from store.bell import Bell
from store.idempotency import StoredAnswer, keep_answer, recall_answer
from store.jobs import add_job, count_queued
from store.settings import Settings
from store.transactions import Store

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Of your choice, new for every job. The same key and body get the first answer for 24 hours.",
    ),
]


@dataclass(frozen=True)
class Submission:
    """What came of a submitted spec: the answer, and the job that it is about."""

    job_id: str
    answer: StoredAnswer
    replayed: bool

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers; a replayed one says so."""
        return self.answer.headers | ({"Idempotency-Replayed": "true"} if self.replayed else {})


@dataclass(frozen=True)
class Intake:
    """Takes jobs in for one request."""

    store: Store
    bell: Bell
    settings: Settings

    def submit(self, document: Any, *, key: str | None = None, to: str = "/v1/jobs") -> Submission:
        """Add the job that a document describes, or recall the one that the same request made before.

        Raises:
            InvalidSpec: The document is wrong; `faults` lists every place.
            KeyReused: The key came with another document before.
            QueueFull: As many jobs wait as may.
        """
        fingerprint = "" if key is None else _fingerprint(to, document)
        if key is not None and (known := self._recall(key, fingerprint)):
            return known
        accepted = accept_document(document, self.settings.limits)  # may take seconds: no transaction is open meanwhile
        with self.store.writing() as writer:
            if key is not None and (kept := recall_answer(writer, key, fingerprint)):
                return _replay(kept)
            if count_queued(writer) >= self.settings.max_queued:
                raise QueueFull(self.settings.max_queued)
            job = add_job(writer, document=accepted.document, spec=accepted.spec, steps=accepted.resolved.steps)
            answer = _answer_for(job)
            if key is not None:
                keep_answer(writer, key, fingerprint, answer)
            writer.after_commit(lambda: self.bell.ring(job.id))
        return Submission(job.id, answer, replayed=False)

    def _recall(self, key: str, fingerprint: str) -> Submission | None:
        with self.store.reading() as reader:
            kept = recall_answer(reader, key, fingerprint)
        return None if kept is None else _replay(kept)


async def provide_intake(store: GivenStore, bell: GivenBell, settings: GivenSettings) -> Intake:
    """Return what takes jobs in."""
    return Intake(store, bell, settings)


GivenIntake = Annotated[Intake, Depends(provide_intake)]


def _answer_for(job: Job) -> StoredAnswer:
    headers = headers_of(job) | {"Location": f"/v1/jobs/{job.id}"}
    return StoredAnswer(202, with_links(job).model_dump_json(), headers)


def _replay(kept: StoredAnswer) -> Submission:
    return Submission(str(json.loads(kept.body)["id"]), kept, replayed=True)


def _fingerprint(to: str, document: Any) -> str:
    """Tell requests apart by what they mean: neither the order of keys nor white space is part of it.

    The document is one that `load_json` let through, or one of ours: never so deep that writing it recurses too far.
    """
    return hashlib.sha256(f"{to}\n{json.dumps(document, sort_keys=True)}".encode()).hexdigest()
