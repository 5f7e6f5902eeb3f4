"""The client's call about what happens to a job while it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
from pydantic import TypeAdapter, ValidationError

from gradclinic.client.connection import Connection, not_understood, path_of
from gradclinic.client.upload import RESTART_SECONDS
from gradclinic.contract.event import EndEvent, FindingEvent, JobEvent, ProgressEvent, StatusEvent
from gradclinic.errors import ServiceUnreachable

RETRY_SECONDS = 1.0
"""Before a stream is asked for again, unless the service said another time."""

_EVENT: TypeAdapter[JobEvent] = TypeAdapter(JobEvent)
_KNOWN = frozenset(
    model.model_fields["event"].default for model in (StatusEvent, ProgressEvent, FindingEvent, EndEvent)
)


class EventCalls:
    """The part of `gradclinic.client.Client` that this is."""

    _connection: Connection

    def events(self, job_id: str) -> Iterator[JobEvent]:
        """Yield what happens to a job, from how it is now to its end: its status, progress and findings as they appear.

        A connection that is lost is made again, and the events go on after the last one that came; a service that is
        restarted meanwhile is waited for.
        """
        path, last, pause = path_of("jobs", job_id, "events"), "", RETRY_SECONDS
        lost_at: float | None = None
        while True:
            try:
                for sent in self._connection.listen(path, last):
                    last, lost_at = sent.id or last, None
                    pause = pause if sent.retry is None else sent.retry / 1000
                    if sent.event in _KNOWN:  # a newer service may tell more
                        event = _read(sent.data)
                        yield event
                        if isinstance(event, EndEvent):
                            return
            except httpx2.TransportError as error:
                lost_at = time.monotonic() if lost_at is None else lost_at
                if time.monotonic() - lost_at > RESTART_SECONDS:
                    raise ServiceUnreachable(
                        f"The events of job {job_id} broke off ({type(error).__name__}: {error}), and the service did not come "
                        f"back within {RESTART_SECONDS:g} s. The job itself goes on: wait for it again later."
                    ) from error
            time.sleep(pause)


def _read(data: str) -> JobEvent:
    try:
        return _EVENT.validate_json(data, extra="ignore")
    except ValidationError as error:
        raise not_understood(f"an event: {error.errors(include_url=False)[0]['msg']}") from error
