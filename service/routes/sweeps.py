"""Sweeps: posting one spec under many values, comparing what came of them, cancelling and deleting."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradclinic.contract.job import Page
from gradclinic.contract.parse import load_json
from gradclinic.contract.sweep import Sweep, SweepSummary
from service.answers import answer_page, answer_sweep, headers_of_sweep, sweep_with_links
from service.openapi import POSTED_SWEEP, SWEEP_TABLE, problems
from service.posted import PostedBody
from service.provided import GivenStore, SweepId
from service.query import Paging, in_query
from service.submission import GivenIntake, IdempotencyKey
from service.sweep_table import MEDIA_TYPE, Form, GivenSort, asked_form, in_order, table_of
from service.waiting import Wait, preference_applied, wait_while
from store.sweeps import delete_sweep, find_summary, find_sweep, list_sweeps, request_cancel_all
from store.transactions import Store

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])


@router.post(
    "",
    status_code=202,
    operation_id="sweeps_create",
    summary="Post a spec under many values",
    response_model=Sweep,
    responses=problems(413, 415),
    openapi_extra=POSTED_SWEEP,
)
async def create_sweep(  # noqa: PLR0913, PLR0917 - FastAPI passes them all by keyword
    request: Request, body: PostedBody, store: GivenStore, intake: GivenIntake, wait: Wait, key: IdempotencyKey = None
) -> Response:
    """Take in one job for each combination of the values under `sweep`, and all or none: a wrong one refuses all."""
    taken = await run_in_threadpool(intake.submit_sweep, await run_in_threadpool(load_json, body), key=key)
    if not wait:
        return Response(taken.answer.body, taken.answer.status, taken.headers, "application/json")
    await wait_while(_is_live, request, wait, partial(_look, store, taken.id))
    location = {"Location": taken.headers["Location"]}
    sweep = await run_in_threadpool(_read, store, taken.id)
    return answer_sweep(sweep, 202, location | preference_applied(wait))


@router.get(
    "",
    operation_id="sweeps_list",
    summary="List sweeps, newest first",
    response_model=Page[SweepSummary],
    responses=problems(),
)
def list_all(request: Request, store: GivenStore, asked: Annotated[Paging, Query()]) -> Response:
    """List sweeps without their tables, newest first. The `Link` header and `next_cursor` lead to the next page."""
    with store.reading() as reader, in_query():
        page = list_sweeps(reader, cursor=asked.cursor, limit=asked.limit)
    return answer_page(page.model_copy(update={"items": [sweep_with_links(one) for one in page.items]}), request)


@router.get(
    "/{sweep_id}",
    operation_id="sweeps_get",
    summary="Compare the jobs of a sweep, or wait for their end",
    response_model=Sweep,
    responses=problems(404) | SWEEP_TABLE,
)
async def show_sweep(  # noqa: PLR0913, PLR0917 - FastAPI passes them all by keyword
    request: Request,
    sweep_id: SweepId,
    store: GivenStore,
    wait: Wait,
    form: Annotated[Form, Depends(asked_form)],
    sort: GivenSort = "posted",
) -> Response:
    """Show a row for each combination, and which is best; with `Prefer: wait=N` when all jobs have ended, or after N
    seconds. The table alone comes as CSV.
    """
    await wait_while(_is_live, request, wait, partial(_look, store, sweep_id))
    sweep = in_order(await run_in_threadpool(_read, store, sweep_id), sort)
    if form == "csv":
        return Response(table_of(sweep), 200, headers_of_sweep(sweep) | preference_applied(wait), MEDIA_TYPE)
    return answer_sweep(sweep, headers=preference_applied(wait))


@router.post(
    "/{sweep_id}/cancel",
    status_code=202,
    operation_id="sweeps_cancel",
    summary="Ask all jobs of a sweep to stop",
    response_model=Sweep,
    responses=problems(404) | {200: {"model": Sweep, "description": "It had ended already, and stays as it is."}},
)
def cancel_sweep(sweep_id: SweepId, store: GivenStore) -> Response:
    """Ask every job to stop: a queued one is cancelled at once, a training one between two steps."""
    with store.writing() as writer:
        was_live = _is_live(find_summary(writer, sweep_id))
        sweep = request_cancel_all(writer, sweep_id)
    return answer_sweep(sweep, 202 if was_live else 200)


@router.delete(
    "/{sweep_id}",
    status_code=204,
    operation_id="sweeps_delete",
    summary="Delete a sweep and its jobs",
    responses=problems(404, 409),
)
def remove_sweep(sweep_id: SweepId, store: GivenStore) -> Response:
    """Delete an ended sweep with its jobs and all that was recorded of them. A live one is a 409 `job_is_live`."""
    with store.writing() as writer:
        delete_sweep(writer, sweep_id)
    return Response(None, 204)


def _is_live(sweep: SweepSummary) -> bool:
    return sweep.status == "live"


def _look(store: Store, sweep_id: str) -> SweepSummary:
    with store.reading() as reader:
        return find_summary(reader, sweep_id)


def _read(store: Store, sweep_id: str) -> Sweep:
    with store.reading() as reader:
        return find_sweep(reader, sweep_id)
