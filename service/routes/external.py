"""Runs from outside: begun, filled with a history while they train, ended and judged, listed and deleted."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from gradclinic.contract.job import Page, Run
from service.answers import answer, answer_page, run_with_links
from service.external import MAX_DOCUMENT_BYTES, begin_run, finish_run, take_chunk
from service.external_body import GivenChunk, PostedChunk
from service.openapi import POSTED_END, POSTED_PART, POSTED_RUN, problems
from service.posted import read_json_body
from service.provided import GivenSettings, GivenStore, RunId
from service.run_filters import RunFilters
from service.submission import IdempotencyKey
from store.external import Room, delete_external_run
from store.transactions import Store

router = APIRouter(prefix="/v1/runs", tags=["runs"])


async def _read_document(request: Request) -> bytes:
    return await read_json_body(request, MAX_DOCUMENT_BYTES)


Document = Annotated[bytes, Depends(_read_document)]
ChunkNumber = Annotated[int, Query(ge=0, le=2**31 - 1, description="Counts the chunks of this run from 0.")]


@router.post(
    "",
    status_code=201,
    operation_id="runs_create",
    summary="Begin a run that trains elsewhere",
    response_model=Run,
    responses=problems(408, 413, 415),
    openapi_extra=POSTED_RUN,
)
async def create_run(
    request: Request, body: Document, store: GivenStore, settings: GivenSettings, key: IdempotencyKey = None
) -> Response:
    """Begin a run whose history is recorded in a loop of the user's own. Its chunks follow, then its end."""
    limiter = request.app.state.history_writes
    taken = await to_thread.run_sync(begin_run, store, body, key, settings.max_external_runs, limiter=limiter)
    return Response(taken.body, taken.status, taken.headers, "application/json")


@router.get(
    "", operation_id="runs_list", summary="List runs, newest first", response_model=Page[Run], responses=problems()
)
def list_all(request: Request, store: GivenStore, filters: Annotated[RunFilters, Query()]) -> Response:
    """List runs, those of jobs and external ones, newest first. The `Link` header and `next_cursor` lead on."""
    with store.reading() as reader:
        page = filters.list_runs(reader)
    return answer_page(page.model_copy(update={"items": [run_with_links(run) for run in page.items]}), request)


@router.post(
    "/{run_id}/history",
    operation_id="runs_add_history",
    summary="Send a chunk of an external run's history",
    response_model=Run,
    responses=problems(404, 408, 409, 413, 415),
    openapi_extra=POSTED_PART,
)
async def add_history(  # noqa: PLR0913, PLR0917 - FastAPI passes them all by keyword
    request: Request, run_id: RunId, store: GivenStore, settings: GivenSettings, posted: GivenChunk, chunk: ChunkNumber
) -> Response:
    """Add a chunk. Sent again unchanged it changes nothing; one left out is a 409 that names the number expected next.

    Steps ascend from chunk to chunk, and a signal has the same layers or parameters in all of them.
    """
    take = partial(
        _take, store, run_id, chunk, posted, Room(settings.limits.max_history, settings.max_external_numbers)
    )
    # Whoever has to wait for others' chunks holds neither a thread nor memory meanwhile.
    return answer(run_with_links(await to_thread.run_sync(take, limiter=request.app.state.history_writes)))


@router.post(
    "/{run_id}/finish",
    operation_id="runs_finish",
    summary="End an external run, and have it judged",
    response_model=Run,
    responses=problems(404, 408, 409, 413, 415),
    openapi_extra=POSTED_END,
)
async def end_run(request: Request, run_id: RunId, store: GivenStore, body: Document) -> Response:
    """Judge what was recorded, and end the run: its diagnosis can be read from then on. Said again alike, nothing changes."""
    limiter = request.app.state.judgements
    return answer(run_with_links(await to_thread.run_sync(finish_run, store, run_id, body, limiter=limiter)))


@router.delete(
    "/{run_id}",
    status_code=204,
    operation_id="runs_delete",
    summary="Delete an external run",
    responses=problems(404, 409),
)
def remove_run(run_id: RunId, store: GivenStore) -> Response:
    """Delete an external run with its history and its diagnosis. A job's run goes with its job: here it is a 409."""
    with store.writing() as writer:
        delete_external_run(writer, run_id)
    return Response(None, 204)


def _take(store: Store, run_id: str, number: int, posted: PostedChunk, room: Room) -> Run:
    body, part = posted.read()
    sha256 = hashlib.sha256(body).hexdigest()
    return take_chunk(store, run_id, number=number, sha256=sha256, part=part, room=room)
