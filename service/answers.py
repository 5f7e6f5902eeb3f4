"""Answers: contract objects as JSON, with links, ETag and the headers that tell a client what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gradclinic.contract.job import LIVE, Job, Page, Run
from gradclinic.contract.sweep import Sweep, SweepSummary
from gradclinic.contract.uploaded import Upload

ItemT = TypeVar("ItemT", bound=BaseModel)
SweepT = TypeVar("SweepT", bound=SweepSummary)
UploadT = TypeVar("UploadT", bound=Upload)

RETRY_AFTER = "1"
"""Seconds after which a live job is worth another look. `Prefer: wait` is the better way."""


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a contract object, written by pydantic: a number that is not finite becomes null."""
    return Response(model.model_dump_json(), status, dict(headers or {}), "application/json")


def answer_job(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a job, its ETag and its links."""
    return answer(with_links(job), status, headers_of(job) | dict(headers or {}))


def answer_unchanged(job: Job, headers: Mapping[str, str] | None = None) -> Response:
    """Tell a caller that the job is still as it knows it."""
    return Response(None, 304, headers_of(job) | dict(headers or {}))


def headers_of(job: Job) -> dict[str, str]:
    """Return the headers that every answer with a job carries: what it may be kept by, and when to ask again."""
    said = {"ETag": etag(job), "Cache-Control": "private, no-cache"}
    return said | ({"Retry-After": RETRY_AFTER} if job.status in LIVE else {})


def answer_list(
    items: Sequence[ItemT], next_cursor: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a list in the contract's form."""
    page: Page[ItemT] = Page(items=list(items), next_cursor=next_cursor)
    return answer(page, headers=headers)


def answer_page(page: Page[ItemT], request: Request) -> Response:
    """Answer with a page of a list, and name the next page the way RFC 8288 does."""
    headers = {"Cache-Control": "private, no-cache"}
    if page.next_cursor is not None:
        following = request.url.include_query_params(cursor=page.next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return answer_list(page.items, page.next_cursor, headers)


def answer_jobs(page: Page[Job], request: Request) -> Response:
    """Answer with a page of jobs, each with its links."""
    return answer_page(page.model_copy(update={"items": [with_links(job) for job in page.items]}), request)


def answer_sweep(sweep: Sweep, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a sweep and its links."""
    return answer(sweep_with_links(sweep), status, headers_of_sweep(sweep) | dict(headers or {}))


def headers_of_sweep(sweep: SweepSummary) -> dict[str, str]:
    """Return the headers that every answer with a sweep carries."""
    said = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    return said | ({"Retry-After": RETRY_AFTER} if sweep.status == "live" else {})


def etag(job: Job) -> str:
    """Return the strong ETag of a job: its version counts its changes."""
    return f'"{job.id}-{job.version}"'


def matches(if_none_match: str | None, job: Job) -> bool:
    """Tell whether the caller has the job as it is (RFC 9110, section 13.1.2: a weak comparison)."""
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag(job) in known or "*" in known


def with_links(job: Job) -> Job:
    """Return the job with the addresses of all that belongs to it."""
    here = f"/v1/jobs/{job.id}"
    links = {
        "self": here,
        "diagnosis": f"{here}/diagnosis",
        "runs": f"{here}/runs",
        "events": f"{here}/events",
        "cancel": f"{here}/cancel",
    }
    if job.sweep is not None:
        links["sweep"] = f"/v1/sweeps/{job.sweep}"
    return job.model_copy(update={"links": links})


def run_with_links(run: Run) -> Run:
    """Return the run with the addresses of all that belongs to it."""
    here = f"/v1/runs/{run.id}"
    links = {"self": here, "history": f"{here}/history", "diagnosis": f"{here}/diagnosis"}
    if run.job_id is not None:
        links["job"] = f"/v1/jobs/{run.job_id}"
    elif run.status == "training":
        links["finish"] = f"{here}/finish"
    return run.model_copy(update={"links": links})


def sweep_with_links(sweep: SweepT) -> SweepT:
    """Return the sweep with the addresses of all that belongs to it."""
    here = f"/v1/sweeps/{sweep.id}"
    links = {
        "self": here,
        "table": f"{here}?format=csv",
        "jobs": f"/v1/jobs?sweep={sweep.id}",
        "cancel": f"{here}/cancel",
    }
    return sweep.model_copy(update={"links": links})


def upload_with_links(upload: UploadT, path: str) -> UploadT:
    """Return the upload with its address under the path that it was posted to."""
    return upload.model_copy(update={"links": {"self": f"{path}/{upload.id}"}})


def answer_uploads(page: Page[UploadT], path: str, request: Request) -> Response:
    """Answer with a page of uploads, each with its links."""
    shown = [upload_with_links(upload, path) for upload in page.items]
    return answer_page(page.model_copy(update={"items": shown}), request)
