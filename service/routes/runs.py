"""Runs: single trainings, their diagnoses and their histories."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Run
from service.answers import answer, run_with_links
from service.errors import NotAcceptable
from service.history_answer import FORMATS, write_history
from service.history_form import HistoryJson
from service.history_query import HistoryQuery
from service.judging import judge_again
from service.negotiation import choose_form
from service.openapi import HISTORY_TABLES, POSTED_JUDGEMENT, problems
from service.posted import PostedBody
from service.provided import GivenStore, RunId
from service.streaming import stream
from store.diagnoses import find_diagnosis
from store.runs import find_run

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["runs"])

AcceptedForms = Annotated[
    str | None, Header(description="`text/csv` or `application/vnd.apache.arrow.stream` for those forms.")
]


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


@router.post(
    "/diagnosis",
    operation_id="runs_judge_again",
    summary="Judge a run by other thresholds",
    response_model=Diagnosis,
    responses=problems(404, 408, 409, 413, 415),
    openapi_extra=POSTED_JUDGEMENT,
)
async def judge_by_other_thresholds(request: Request, run_id: RunId, store: GivenStore, body: PostedBody) -> Response:
    """Judge the same history once more; nothing is trained, and the stored diagnosis stays. Too early is a 409."""
    limiter = request.app.state.judgements
    return answer(await to_thread.run_sync(judge_again, store, run_id, body, limiter=limiter))


@router.get(
    "/history",
    operation_id="runs_get_history",
    summary="A run's signals over its steps",
    response_model=HistoryJson,
    responses=problems(404, 406) | HISTORY_TABLES,
)
async def show_history(
    request: Request,
    run_id: RunId,
    store: GivenStore,
    asked: Annotated[HistoryQuery, Query()],
    accept: AcceptedForms = None,
) -> Response:
    """Show what was recorded, streamed: in JSON a column a list, in CSV and Arrow one row a step.

    JSON writes a number that is not finite as "NaN", "Infinity" or "-Infinity", and null for one that was not recorded. In
    CSV these are words and an empty field; in Arrow NaN is a number and null is what was not recorded. A number that a
    float32 holds is written with as many digits as that needs; Arrow has every bit.
    """
    form = asked.format or choose_form(accept, FORMATS)
    if form is None:
        raise NotAcceptable(FORMATS.values())
    headers = {"Vary": "Accept"}
    if form != "json":
        headers["Content-Disposition"] = f'attachment; filename="{run_id}.{form}"'
    # Whoever has to wait for others' large reads holds neither a thread nor a connection meanwhile.
    pieces = write_history(store, run_id, asked, form)
    return await stream(pieces, request.app.state.history_reads, FORMATS[form], headers)
