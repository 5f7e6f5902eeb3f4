"""Taking jobs in, one or those of a sweep: check the specs, add the jobs, remember the answer, and ring the bell once that
is committed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header

from gradclinic.contract.combinations import check_combinations, combinations_of
from gradclinic.errors import Fault, InvalidSpec, NotFound
from gradclinic.files import Files
from service.answers import headers_of, headers_of_sweep, sweep_with_links, with_links
from service.errors import QueueFull
from service.posted import Accepted, accept_document
from service.provided import GivenBell, GivenFiles, GivenSettings, GivenStore
from store.bell import Bell
from store.idempotency import StoredAnswer, keep_answer, recall_answer
from store.jobs import add_job, count_queued
from store.settings import Settings
from store.sweeps import NewJob, add_sweep, job_ids_of
from store.transactions import Store, Writer
from store.uploads import ARTIFACTS, DATASETS, Uploads

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
    """What came of a submitted document: the answer, and the id of the job or sweep that it is about."""

    id: str
    answer: StoredAnswer
    replayed: bool

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers; a replayed one says so."""
        return self.answer.headers | ({"Idempotency-Replayed": "true"} if self.replayed else {})


@dataclass(frozen=True)
class Prepared:
    """What is left to do of a request once its specs are checked: how many jobs it adds, and how."""

    jobs: int
    act: Callable[[Writer], StoredAnswer]


@dataclass(frozen=True)
class Intake:
    """Takes jobs in for one request."""

    store: Store
    bell: Bell
    settings: Settings
    files: Files

    def submit(self, document: Any, *, key: str | None = None, to: str = "/v1/jobs") -> Submission:
        """Add the job that a document describes, or recall the one that the same request made before.

        Raises:
            InvalidSpec: The document is wrong; `faults` lists every place.
            KeyReused: The key came with another document before.
            QueueFull: There is no room in the queue for as many.
        """

        def prepare() -> Prepared:
            accepted = self._check(document)
            return Prepared(1, lambda writer: self._add_job(writer, accepted))

        return self._act_once(key, to, document, prepare)

    def submit_sweep(self, document: Any, *, key: str | None = None) -> Submission:
        """Add a job for every combination of a sweep, all or none, or recall those that the same request made before.

        Raises:
            InvalidSpec: The document is wrong; `faults` lists every place, with the combinations it is wrong in.
            KeyReused: The key came with another document before.
            QueueFull: There is no room in the queue for as many.
        """

        def prepare() -> Prepared:
            combinations = combinations_of(document, min(self.settings.max_sweep, self.settings.max_queued))
            accepted = check_combinations(combinations, self._check)
            found = [NewJob(one.document, one.spec, one.resolved.steps) for one in accepted]

            def act(writer: Writer) -> StoredAnswer:
                check_combinations(combinations, partial(_hold_uploads, writer))
                return self._add_sweep(writer, document, found)

            return Prepared(len(found), act)

        return self._act_once(key, "/v1/sweeps", document, prepare)

    def _check(self, document: Any) -> Accepted:
        return accept_document(document, self.settings.limits, self.files)

    def _act_once(self, key: str | None, to: str, document: Any, prepare: Callable[[], Prepared]) -> Submission:
        """Prepare and act, or recall the answer to the same request."""
        fingerprint = "" if key is None else _fingerprint(to, document)
        if key is not None and (known := self._recall(key, fingerprint)):
            return known
        prepared = prepare()  # may take seconds: no transaction is open meanwhile
        with self.store.writing() as writer:
            if key is not None and (kept := recall_answer(writer, key, fingerprint)):
                return _submission(kept, replayed=True)
            queued, limit = count_queued(writer), self.settings.max_queued
            if queued + prepared.jobs > limit:
                raise QueueFull(queued, prepared.jobs, limit)
            answer = prepared.act(writer)
            if key is not None:
                keep_answer(writer, key, fingerprint, answer)
        return _submission(answer)

    def _add_job(self, writer: Writer, accepted: Accepted) -> StoredAnswer:
        _hold_uploads(writer, accepted.document)
        job = add_job(writer, document=accepted.document, spec=accepted.spec, steps=accepted.resolved.steps)
        writer.after_commit(lambda: self.bell.ring(job.id))
        headers = headers_of(job) | {"Location": f"/v1/jobs/{job.id}"}
        return StoredAnswer(202, with_links(job).model_dump_json(), headers)

    def _add_sweep(self, writer: Writer, document: dict[str, Any], found: list[NewJob]) -> StoredAnswer:
        sweep = add_sweep(writer, document=document, combinations=found)
        for job_id in job_ids_of(writer, sweep.id):
            writer.after_commit(partial(self.bell.ring, job_id))
        headers = headers_of_sweep(sweep) | {"Location": f"/v1/sweeps/{sweep.id}"}
        return StoredAnswer(202, sweep_with_links(sweep).model_dump_json(), headers)

    def _recall(self, key: str, fingerprint: str) -> Submission | None:
        with self.store.reading() as reader:
            kept = recall_answer(reader, key, fingerprint)
        return None if kept is None else _submission(kept, replayed=True)


async def provide_intake(store: GivenStore, bell: GivenBell, settings: GivenSettings, files: GivenFiles) -> Intake:
    """Return what takes jobs in."""
    return Intake(store, bell, settings, files)


GivenIntake = Annotated[Intake, Depends(provide_intake)]


def _hold_uploads(writer: Writer, document: dict[str, Any]) -> None:
    """Keep what a valid spec names from going, or refuse if it went since the spec was checked."""
    _hold(writer, DATASETS, document, "data")
    _hold(writer, ARTIFACTS, document, "model")


def _hold(writer: Writer, uploads: Uploads[Any], document: dict[str, Any], part: str) -> None:
    upload_id = document[part].get(uploads.sort)
    if upload_id is None:
        return
    try:
        uploads.hold(writer, upload_id)
    except NotFound:
        message = f"The uploaded {uploads.words} {upload_id!r} was deleted just now."
        expected = f"the id that `POST /v1/{uploads.sort}s` gave"
        raise InvalidSpec([Fault(f"/{part}/{uploads.sort}", message, expected)]) from None


def _submission(answer: StoredAnswer, *, replayed: bool = False) -> Submission:
    return Submission(str(json.loads(answer.body)["id"]), answer, replayed=replayed)


def _fingerprint(to: str, document: Any) -> str:
    """Tell requests apart by what they mean: neither the order of keys nor white space is part of it.

    The document is one that `load_json` let through, or one of ours: never so deep that writing it recurses too far.
    """
    return hashlib.sha256(f"{to}\n{json.dumps(document, sort_keys=True)}".encode()).hexdigest()
