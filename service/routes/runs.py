"""Runs: single trainings, their diagnoses and their histories."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Run
from service.answers import answer, run_with_links
from service.history_form import HistoryJson
from service.history_query import HistoryQuery, answer_query
from service.openapi import problems
from service.provided import GivenStore, RunId
from store.diagnoses import find_diagnosis
from store.runs import find_run
from store.transactions import Store

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["runs"])


@router.get("", operation_id="runs_get", summary="Look at a run", response_model=Run, responses=problems(404))
def show_run(run_id: RunId, store: GivenStore) -> Response:
    """Show one training."""
    with store.reading() as reader:
        return answer(run_with_links(find_run(reader, run_id)))


@router.get(
    "/diagnosis",
    operation_id="runs_get_diagnosis",
    summary="A run's own diagnosis",
    response_model=Diagnosis,
    responses=problems(404, 409),
)
def show_diagnosis(run_id: RunId, store: GivenStore) -> Response:
    """Show the run's diagnosis. Too early is a 409 `diagnosis_not_ready`, for ever none a 409 `no_diagnosis`."""
    with store.reading() as reader:
        return answer(find_diagnosis(reader, run_id))


@router.get(
    "/history",
    operation_id="runs_get_history",
    summary="A run's signals over its steps",
    response_model=HistoryJson,
    responses=problems(404),
)
async def show_history(
    request: Request, run_id: RunId, store: GivenStore, asked: Annotated[HistoryQuery, Query()]
) -> Response:
    """Show what was recorded. A number that is not finite is "NaN", "Infinity" or "-Infinity", one not recorded null."""
    # Whoever has to wait for others' large reads holds neither a thread nor a connection meanwhile.
    text = await to_thread.run_sync(_read_history, store, run_id, asked, limiter=request.app.state.history_reads)
    return Response(text, media_type="application/json")


def _read_history(store: Store, run_id: str, asked: HistoryQuery) -> str:
    with store.reading() as reader:
        return answer_query(reader, run_id, asked)
