"""The events of a job, while they happen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

from service.events import answer_events, read_known
from service.openapi import EVENTS, problems
from service.provided import GivenWatchers, JobId

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LastEventId = Annotated[
    str | None, Header(description="The id of the last event that was received: the stream goes on after it.")
]


@router.get(
    "/{job_id}/events",
    operation_id="jobs_stream_events",
    summary="Hear of progress, findings and status as they come",
    response_class=Response,
    responses=problems(404) | EVENTS,
)
async def stream_job_events(job_id: JobId, watchers: GivenWatchers, last_event_id: LastEventId = None) -> Response:
    """Stream the job's events (server-sent events) until it has ended: `status`, `progress`, `finding`, and at last `end`."""
    return await answer_events(watchers, job_id, read_known(last_event_id))
