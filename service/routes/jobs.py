"""Jobs: posting, listing, looking, waiting, cancelling, deleting, and running a proposed fix as a new job."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import LIVE, Job, Page, Run
from gradclinic.contract.parse import load_json
from gradclinic.errors import NotFound
from gradclinic.fixes import apply_patch
from service.answers import answer, answer_job, answer_jobs, answer_list, answer_unchanged, matches, run_with_links
from service.filters import Filters
from service.openapi import POSTED_SPEC, problems
from service.posted import PostedBody
from service.provided import FixId, GivenStore, JobId
from service.submission import GivenIntake, IdempotencyKey
from service.waiting import Wait, preference_applied, wait_for_end
from store.diagnoses import find_diagnosis
from store.jobs import delete_job, find_job, request_cancel
from store.runs import baseline_of, runs_of_job
from store.transactions import Store

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    operation_id="jobs_create",
    summary="Post a spec",
    response_model=Job,
    responses=problems(408, 413, 415, 429),
    openapi_extra=POSTED_SPEC,
)
async def create_job(  # noqa: PLR0913, PLR0917 - FastAPI passes them all by keyword
    request: Request, body: PostedBody, store: GivenStore, intake: GivenIntake, wait: Wait, key: IdempotencyKey = None
) -> Response:
    """Take a spec in. The answer comes at once, or with `Prefer: wait=N` when the job has ended or N seconds are over."""
    taken = await run_in_threadpool(intake.submit, await run_in_threadpool(load_json, body), key=key)
    if not wait:
        return Response(taken.answer.body, taken.answer.status, taken.headers, "application/json")
    job = await wait_for_end(request, wait, partial(_look, store, taken.id))
    location = {"Location": taken.headers["Location"]}
    return answer_job(job, 202, location | preference_applied(wait))


@router.get(
    "", operation_id="jobs_list", summary="List jobs, newest first", response_model=Page[Job], responses=problems()
)
def list_all(request: Request, store: GivenStore, filters: Annotated[Filters, Query()]) -> Response:
    """List jobs, newest first. The `Link` header and `next_cursor` lead to the next page."""
    with store.reading() as reader:
        page = filters.list_jobs(reader)
    return answer_jobs(page, request)


@router.get(
    "/{job_id}",
    operation_id="jobs_get",
    summary="Look at a job, or wait for its end",
    response_model=Job,
    responses=problems(404) | {304: {"description": "The job is as `If-None-Match` says."}},
)
async def show_job(
    request: Request,
    job_id: JobId,
    store: GivenStore,
    wait: Wait,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an earlier answer.")] = None,
) -> Response:
    """Show a job as it is; with `Prefer: wait=N` when it has ended, or as it is after N seconds."""
    job = await wait_for_end(request, wait, partial(_look, store, job_id))
    give = answer_unchanged if matches(if_none_match, job) else answer_job
    return give(job, headers=preference_applied(wait))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    operation_id="jobs_cancel",
    summary="Ask a job to stop",
    response_model=Job,
    responses=problems(404) | {200: {"model": Job, "description": "It had ended already, and stays as it is."}},
)
def cancel_job(job_id: JobId, store: GivenStore) -> Response:
    """Ask a job to stop: a queued one is cancelled at once, a training one between two steps."""
    with store.writing() as writer:
        was_live = find_job(writer, job_id).status in LIVE
        job = request_cancel(writer, job_id)
    return answer_job(job, 202 if was_live else 200)


@router.delete(
    "/{job_id}", status_code=204, operation_id="jobs_delete", summary="Delete a job", responses=problems(404, 409)
)
def remove_job(job_id: JobId, store: GivenStore) -> Response:
    """Delete an ended job with its runs, histories and diagnoses. A live one is a 409 `job_is_live`."""
    with store.writing() as writer:
        delete_job(writer, job_id)
    return Response(None, 204)


@router.get(
    "/{job_id}/diagnosis",
    operation_id="jobs_get_diagnosis",
    summary="What is wrong, and what to do",
    response_model=Diagnosis,
    responses=problems(404, 409),
)
def show_diagnosis(job_id: JobId, store: GivenStore) -> Response:
    """Show the baseline's diagnosis. Too early is a 409 `diagnosis_not_ready`, for ever none a 409 `no_diagnosis`."""
    with store.reading() as reader:
        return answer(find_diagnosis(reader, baseline_of(reader, job_id).id))


@router.get(
    "/{job_id}/runs",
    operation_id="jobs_list_runs",
    summary="A job's trainings",
    response_model=Page[Run],
    responses=problems(404),
)
def list_runs(job_id: JobId, store: GivenStore) -> Response:
    """List the job's runs, the baseline first."""
    with store.reading() as reader:
        return answer_list([run_with_links(run) for run in runs_of_job(reader, job_id)])


@router.post(
    "/{job_id}/fixes/{fix_id}/apply",
    status_code=202,
    operation_id="jobs_apply_fix",
    summary="Run a proposed fix as a new job",
    response_model=Job,
    responses=problems(404, 409, 429),
)
def apply_fix(
    job_id: JobId, fix_id: FixId, store: GivenStore, intake: GivenIntake, key: IdempotencyKey = None
) -> Response:
    """Apply the fix's patch to the job's spec and take the outcome in as a new job."""
    with store.reading() as reader:
        document = find_job(reader, job_id).spec
        fixes = find_diagnosis(reader, baseline_of(reader, job_id).id).fixes
    fix = next((fix for fix in fixes if fix.id == fix_id), None)
    if fix is None:
        raise NotFound("fix", fix_id)
    taken = intake.submit(apply_patch(document, fix.patch), key=key, to=f"/v1/jobs/{job_id}/fixes/{fix_id}/apply")
    return Response(taken.answer.body, taken.answer.status, taken.headers, "application/json")


def _look(store: Store, job_id: str) -> Job:
    with store.reading() as reader:
        return find_job(reader, job_id)
